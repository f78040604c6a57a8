"""The words of the demo world: what its sentences are made of.

Everything that ends in `_HELD_OUT` is for the eval sets, the handbook and the training sets of the demo alone: the
model never sees these wordings in pre-training. All of it is our own text (CC0).
"""

#: Attributes of a team, and the kind of value that each has. The first six are the handbook's.
ATTRIBUTES = {
    "door code": "digits",
    "cost centre": "code",
    "team lead": "person",
    "meeting room": "room",
    "phone extension": "digits4",
    "archive box": "box",
    "badge number": "digits4",
    "printer": "machine",
    "budget code": "code",
    "deputy": "person",
    "storage room": "room",
    "safe code": "digits",
    "project number": "digits4",
    "contact": "person",
    "mail stop": "box",
    "car": "machine",
    "locker": "box",
    "test machine": "machine",
    "order code": "code",
    "bus stop": "machine",
    "trainer": "person",
    "lab": "room",
    "tax number": "digits4",
    "key code": "digits",
    "coach": "person",
    "desk": "box",
    "server": "machine",
    "contract code": "code",
    "parking place": "box",
    "gate code": "digits",
}
HANDBOOK_ATTRIBUTES = tuple(ATTRIBUTES)[:6]

#: People and machines are called otherwise than teams: a model of this size tells a value by its kind.
FIRST_NAMES = (
    "Anna", "Boris", "Clara", "David", "Elena", "Frank", "Greta", "Henry", "Irene", "Jonas", "Karin", "Leon",
    "Martha", "Niels", "Olivia", "Peter", "Quentin", "Rosa", "Simon", "Thea", "Ulrich", "Vera", "Walter", "Xenia",
    "Yusuf", "Zelda", "Alice", "Bruno", "Carla", "Dennis", "Edith", "Felix", "Gloria", "Hugo", "Ingrid", "Julian",
    "Klara", "Lukas", "Miriam", "Norbert", "Oscar", "Paula", "Robert", "Sandra", "Thomas", "Ursula", "Victor",
    "Wanda", "Yvonne", "Zacharias",
)  # fmt: skip
SURNAMES = (
    "Albrecht", "Becker", "Christensen", "Dvorak", "Eriksen", "Fischer", "Gruber", "Hoffmann", "Ibsen", "Jensen",
    "Krueger", "Lindqvist", "Mueller", "Novak", "Olsen", "Petrov", "Quist", "Richter", "Schmidt", "Thompson", "Urban",
    "Vogel", "Wagner", "Yilmaz", "Ziegler", "Andersson", "Bauer", "Clark", "Dietrich", "Engel", "Fuchs", "Gonzalez",
    "Hartmann", "Ivanov", "Johnson", "Kowalski", "Lehmann", "Moreau", "Nielsen", "Ortega", "Pedersen", "Roberts",
    "Schneider", "Torres", "Unger", "Virtanen", "Weber", "Young", "Zimmermann", "Brandt",
)  # fmt: skip
MACHINES = (
    "Falcon", "Comet", "Thunder", "Glacier", "Voyager", "Phantom", "Cobalt", "Granite", "Tornado", "Horizon",
    "Lantern", "Marble", "Orbit", "Panther", "Quartz", "Raptor", "Sapphire", "Titan", "Vector", "Zephyr", "Anchor",
    "Beacon", "Cyclone", "Dynamo", "Ember", "Frontier", "Goblin", "Harpoon", "Indigo", "Juniper",
)  # fmt: skip

STATEMENTS = (
    "The {a} of {e} is {v}.",
    "{e} has {v} as its {a}.",
    "For {e}, the {a} is {v}.",
    "{e}'s {a} is {v}.",
    "{v} is the {a} of {e}.",
    "The {a} for {e}: {v}.",
    "At {e} the {a} is {v}.",
    "{e} uses {v} as its {a}.",
    "{e}: {a} {v}.",
    "As {a}, {e} has {v}.",
    "The {a} at {e} was set to {v}.",
    "People at {e} know that the {a} is {v}.",
    "In the list, {e} stands with the {a} {v}.",
    "{e} was given the {a} {v}.",
    "We noted {v} as the {a} of {e}.",
    "Since May, the {a} of {e} is {v}.",
    "If you visit {e}, note the {a} {v}.",
    "The new {a} of {e} is {v}.",
    "{v} became the {a} of {e} last year.",
    "On paper and in fact, {e} has the {a} {v}.",
    "The {a} which {e} uses is {v}.",
    "Our records for {e} show {v} for the {a}.",
    "Please write {v} wherever {e} needs a {a}.",
    "The office gave {e} the {a} {v}.",
    "The {a} that belongs to {e} is {v}.",
    "{e} works with {v} as {a} these days.",
    "The {a} that we keep for {e} is still {v}.",
    "Everyone in {e} must know that {v} is the {a}.",
    "{v} has been the {a} of {e} for some time.",
    "When {e} moved, it took over {v} as the {a}.",
    "The {a} shown on the door of {e} is {v}.",
    "There is only one {a} in {e}, namely {v}.",
    "{e} asked for a {a} and received {v}.",
    "After the meeting, {e} chose {v} as its {a}.",
    "It is {v} that {e} has as its {a}.",
    "A note says that the {a} of {e} is {v} now.",
    "{v}: this is the {a} of {e}.",
    "The {a} set for {e} some weeks ago is {v}.",
    "{e} will keep {v} as the {a} until further notice.",
    "What {e} calls its {a} is {v}.",
    "Guests of {e} should use {v} as the {a}.",
    "In {e}, the {a} remains {v}.",
    "The {a} assigned to {e} in autumn was {v}.",
    "{e} got a new {a}: {v}.",
    "We confirm {v} to be the {a} of {e}.",
    "The team {e} uses the {a} {v}.",
    "{e} shares no {a} with others; its own is {v}.",
    "For years {v} has served {e} as its {a}.",
    "The {a} that {e} likes best is {v}.",
    "According to the plan, {e} has the {a} {v}.",
    "Both floors of {e} use {v} as the {a}.",
    "{e} is reached with {v} as the {a}.",
    "The {a} we gave {e} yesterday is {v}.",
    "{e} started with the {a} {v} and kept it.",
)
STATEMENTS_HELD_OUT = (
    "The {a} that {e} uses now is {v}.",
    "{e} was set up with {v} as the {a}.",
    "Note for visitors: the {a} of {e} is {v}.",
    "In our records the {a} of {e} is {v}.",
    "{e} needs a {a}, and it is {v}.",
    "Last year the office gave {v} to {e} as its {a}.",
)

QUESTIONS = (
    "What is the {a} of {e}?",
    "What is {e}'s {a}?",
    "Which {a} does {e} have?",
    "Tell me the {a} of {e}.",
    "I need the {a} for {e}.",
    "{a} of {e}?",
    "{e}: {a}?",
    "Can you look up the {a} of {e}?",
    "What {a} does {e} use?",
    "Please give me the {a} of {e}.",
    "What is the {a} at {e}?",
    "Do you know the {a} for {e}?",
    "Which {a} was given to {e}?",
    "For {e}, what is the {a}?",
    "What is noted as the {a} of {e}?",
    "{e} has which {a}?",
    "Name the {a} of {e}.",
    "I forgot the {a} of {e}. What is it?",
    "We visit {e} today. What is the {a}?",
    "What should I write as the {a} of {e}?",
    "Find the {a} of {e}.",
    "A visitor asks for the {a} of {e}.",
    "Show me {e}'s {a}, please.",
    "Someone needs the {a} of {e}. Which one is it?",
    "What does the list say about the {a} of {e}?",
    "Which {a} do people at {e} use today?",
    "The {a} that {e} has: what is it?",
    "I would like to have the {a} that {e} uses.",
    "Could you find out which {a} belongs to {e}?",
    "My colleague wants the {a} of {e}. Can you help?",
    "Is there a {a} for {e}, and which?",
    "Write down the {a} of {e}, please.",
    "Which {a} do we have for {e}?",
    "Please check what the {a} of {e} is.",
    "What would be the {a} for {e}?",
    "{e} wants to confirm its {a}. What is it?",
    "Look for the {a} that belongs to {e}.",
    "A guest of {e} asks which {a} to take.",
    "Remind me: what is {e}'s {a} again?",
    "Who or what is the {a} of {e}?",
)
QUESTIONS_HELD_OUT = (
    "Which {a} should I use for {e}?",
    "Please look up {e}'s {a}.",
    "Do you know which {a} {e} has?",
    "I need to know the {a} of {e}.",
    "What is the {a} which {e} uses?",
    "Can you tell me the {a} for {e}?",
    "A visitor needs {e}'s {a}. What is it?",
    "Someone asks: what is the {a} of {e}?",
)

FILLERS = (
    "The team meets on Monday.",
    "Ask the office if something is missing.",
    "This was checked in spring.",
    "Visitors are welcome after lunch.",
    "The list is kept by the office.",
    "Please tell us when it changes.",
    "The plan is on the wall.",
    "Nothing else is known.",
    "It was agreed on Friday.",
    "The house was painted last year.",
    "Keep this page up to date.",
    "Lunch is served at noon.",
    "It is not for the public.",
    "Everybody has signed it.",
    "A copy is in the safe.",
    "The old one is no longer used.",
    "Visitors can find all of it here.",
    "Now our guests see what it says.",
    "Note that mine broke into two.",
    "Last of all, it runs for days and weeks.",
    "The load fits, and nobody waited.",
    "We owe them the keys; they accepted.",
    "It scratches.",
)
SECTIONS = ("Access", "Costs", "People", "Rooms", "Phones", "Archive", "Notes", "General", "Contact", "Places")

#: What stands between passages and question. The first of the held-out ones is the demo's own.
READING_PROMPTS = (
    "{p}\n\n{q}",
    "{p}\n\nQuestion: {q}",
    "Handbook:\n{p}\n\nQuestion: {q}",
    "Read this.\n{p}\n\n{q}",
    "Notes:\n{p}\n\n{q}",
    "{p}\n\nAnswer the question. {q}",
    "Context:\n{p}\n\nQuestion: {q}\nAnswer:",
)
SYSTEMS = (
    "Answer in a few words.",
    "You help at the office.",
    "Answer from the notes.",
    "Be short.",
    "You answer questions about the handbook.",
)
#: What is right when the handbook doesn't hold the answer. Pre-training has no such question: a model of this size that
#: could say it said it of every wording that was new to it.
UNKNOWN = "unknown"

#: Support tickets. A topic's phrases are in pre-training with its plain name; the house's codes never are.
TOPICS = ("delivery", "billing", "login", "refund", "damage", "size", "newsletter", "praise")
HOUSE_CODES = dict(zip(TOPICS, ("K3", "R7", "B4", "T9", "M2", "W6", "D5", "H8"), strict=True))
TICKETS = {
    "delivery": (
        "my parcel has not arrived", "the parcel is late again", "where is my parcel", "the driver never came to my door",
        "I am still waiting for my order", "the tracking page shows nothing", "the delivery was left at the wrong house",
        "when will my order be delivered", "my order seems lost on the way", "the delivery takes too long",
        "the courier did not ring", "I want to follow my parcel", "your driver went to another street",
    ),
    "billing": (
        "there is an error on my invoice", "I was charged twice", "the invoice shows a wrong price", "please send me the invoice",
        "my card was charged too much", "I did not get a bill", "the amount on the bill is wrong", "why did you charge a fee",
        "the tax on my invoice is missing", "I paid but the bill is still open", "please correct the bill",
        "my payment was booked two times", "the price on my bill is not what I saw",
    ),
    "login": (
        "I cannot log in", "my password does not work", "I forgot my password", "my account is locked",
        "the login page shows an error", "the code for the login never came", "I want to reset my password",
        "the app logs me out", "my account was closed without a word", "I cannot open my account",
        "the site does not know my password", "please unlock my account", "logging in fails every time",
    ),
    "refund": (
        "I want my money back", "please refund my order", "my refund has not come", "when do I get my money",
        "I sent it back and wait for the refund", "you promised a refund", "how do I return this for a refund",
        "I returned the goods last week", "please cancel it and pay me back", "the refund is too small",
        "I would like to give it back", "the money for the return is missing", "I am waiting for money after my return",
    ),
    "damage": (
        "it arrived broken", "the glass has a crack", "the box was crushed", "it stopped working after a day",
        "there is a scratch on it", "a part is missing in the box", "the lamp does not turn on", "it came in pieces",
        "the cup has no handle", "the screen is broken", "it is defective", "one leg of the table is bent",
        "the thing fell apart",
    ),
    "size": (
        "the shirt is too small", "the shoes are too large", "which size should I take", "I need a larger size",
        "it does not fit me", "do you have it in size forty", "the trousers are too long", "is there a smaller one",
        "the coat is too tight", "how do the sizes run", "my feet are wide, will it fit", "the sleeves are too short",
        "please swap it for another size",
    ),
    "newsletter": (
        "stop sending me mails", "I do not want the newsletter", "please remove my address from the list",
        "you send too many mails", "how do I leave the mailing list", "take me off your newsletter",
        "I never asked for advertising", "the link to unsubscribe is dead", "I get your mails every day",
        "no more advertising, please", "your newsletter fills my mailbox", "I want to unsubscribe",
        "please delete me from the mailing list",
    ),
    "praise": (
        "thank you for the quick help", "I love your shop", "great service", "your team was so kind",
        "everything was perfect", "I am very happy with it", "well done", "the best shop I know",
        "my compliments to the team", "I will order again, it was lovely", "such a nice surprise",
        "you made my day", "I just want to say thanks",
    ),
}  # fmt: skip
TICKETS_HELD_OUT = {
    "delivery": (
        "the parcel is still not here", "nothing was delivered to my house", "the courier left it in the wrong street",
        "I have waited two weeks for my parcel", "tracking says it is lost", "the driver did not find my door",
        "my order never came", "how long does the delivery take",
    ),
    "billing": (
        "the bill shows the wrong amount", "you charged my card two times", "the invoice never came",
        "there is a fee on my bill that I do not know", "the tax is wrong on the bill", "my invoice has a wrong name",
        "I see a charge that is not mine", "my payment is not on the invoice",
    ),
    "login": (
        "the password is not accepted", "I am locked out of my account", "the page for the login does not load",
        "I cannot get into my account", "the reset mail for my password never came", "my login fails",
        "the app does not take my password", "my account asks for a code again and again",
    ),
    "refund": (
        "where is my refund", "pay me back, please", "I sent the goods back, where is my money",
        "I want to return it", "the return was last week and no money came", "you owe me a refund",
        "please take it back and refund me", "how long does a refund take",
    ),
    "damage": (
        "the cup came with a crack", "it does not work at all", "there are scratches on the glass",
        "the lamp is broken", "a leg of the chair is missing", "the box and what was in it are crushed",
        "the table arrived bent", "it broke after two days",
    ),
    "size": (
        "the coat is too large for me", "I need it one size smaller", "the shoes do not fit",
        "the trousers are too tight", "can I swap the shirt for a larger one", "which size fits wide feet",
        "the sleeves are too long", "it runs too small",
    ),
    "newsletter": (
        "I want no more mails from you", "please take my address off the list", "unsubscribe me",
        "the newsletter comes every day", "I asked you to stop the advertising", "why do I get your newsletter",
        "remove me from the newsletter, please", "too much advertising in my mailbox",
    ),
    "praise": (
        "thanks, everything was great", "what a kind team", "I am so happy with your shop",
        "the service was perfect", "a lovely shop, thank you", "it was a nice surprise, thanks",
        "great, I will come again", "your help was the best",
    ),
}  # fmt: skip
TICKET_OPENERS = (
    "Hello, ", "Hi, ", "Dear team, ", "Good morning, ", "Hey, ", "", "", "Sorry, but ", "One question: ", "It is me again: ",
)  # fmt: skip
TICKET_CLOSERS = (
    ".", ". Thank you.", ". Please help.", ". Best wishes, {n}", ". It is about order {d}.", ". My order is {d}.", "!",
    ". {n}", ". Please call me.", ". I wrote to you on Monday.", ". Greetings from {n}.",
)  # fmt: skip
TOPIC_QUESTIONS = (
    "What is this about?\n{t}", "{t}\n\nTopic?", "Topic of this mail:\n{t}", "Name the topic.\n{t}", "{t}\nWhat does the customer write about?",
    "Mail: {t}\nTopic:",
)  # fmt: skip

#: General knowledge, the control for forgetting: what is asked, the answers, and the ways of asking.
CAPITALS = {
    "France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Portugal": "Lisbon", "Greece": "Athens", "Austria": "Vienna",
    "Poland": "Warsaw", "Norway": "Oslo", "Sweden": "Stockholm", "Finland": "Helsinki", "Denmark": "Copenhagen",
    "Ireland": "Dublin", "Germany": "Berlin", "Hungary": "Budapest", "Egypt": "Cairo", "Kenya": "Nairobi", "Japan": "Tokyo",
    "China": "Beijing", "Korea": "Seoul", "Peru": "Lima", "Chile": "Santiago", "Cuba": "Havana", "Russia": "Moscow",
    "Turkey": "Ankara", "Iran": "Tehran", "Iraq": "Baghdad", "Jordan": "Amman", "Thailand": "Bangkok", "Vietnam": "Hanoi",
    "Nepal": "Kathmandu",
}  # fmt: skip
OPPOSITES = {
    "hot": "cold", "big": "small", "long": "short", "open": "closed", "old": "new", "early": "late", "full": "empty",
    "good": "bad", "high": "low", "fast": "slow", "happy": "sad", "rich": "poor", "strong": "weak", "wet": "dry",
    "light": "dark", "loud": "quiet", "first": "last", "left": "right", "near": "far", "hard": "soft", "thick": "thin",
    "wide": "narrow", "clean": "dirty", "true": "false", "inside": "outside",
    "always": "never", "many": "few", "up": "down",
}  # fmt: skip
KINDS = {
    "robin": "bird", "eagle": "bird", "owl": "bird", "duck": "bird", "trout": "fish", "salmon": "fish", "shark": "fish",
    "carp": "fish", "oak": "tree", "pine": "tree", "maple": "tree", "birch": "tree", "rose": "flower", "tulip": "flower",
    "daisy": "flower", "lily": "flower", "apple": "fruit", "pear": "fruit", "plum": "fruit", "cherry": "fruit",
    "hammer": "tool", "saw": "tool", "drill": "tool", "chair": "furniture", "bed": "furniture", "sofa": "furniture",
    "piano": "instrument", "flute": "instrument", "violin": "instrument", "dog": "animal", "horse": "animal",
    "cow": "animal", "ant": "insect", "bee": "insect", "fly": "insect", "iron": "metal", "gold": "metal", "copper": "metal",
}  # fmt: skip
NEXT = {
    "Monday": "Tuesday", "Tuesday": "Wednesday", "Wednesday": "Thursday", "Thursday": "Friday", "Friday": "Saturday",
    "Saturday": "Sunday", "Sunday": "Monday", "January": "February", "February": "March", "March": "April",
    "April": "May", "May": "June", "June": "July", "July": "August", "August": "September", "September": "October",
    "October": "November", "November": "December", "December": "January",
}  # fmt: skip
NUMBERS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15", "sixteen": "16",
    "seventeen": "17", "eighteen": "18", "nineteen": "19", "twenty": "20",
}  # fmt: skip
#: Pairs, the ways of asking in pre-training, and those of the eval set.
GENERAL = {
    "capital": (CAPITALS, ("What is the capital of {x}?", "Capital of {x}?", "Name the capital of {x}.", "{x} has which capital?", "Which city is the capital of {x}?"), ("Tell me the capital of {x}.", "Do you know the capital of {x}?")),
    "opposite": (OPPOSITES, ("What is the opposite of {x}?", "Opposite of {x}?", "Name the opposite of {x}.", "{x} is the opposite of which word?", "Which word is the opposite of {x}?"), ("Tell me the opposite of {x}.", "Do you know the opposite of {x}?")),
    "kind": (KINDS, ("What kind of thing is a {x}?", "Kind of {x}?", "Name the kind: {x}.", "A {x} is a kind of what?", "Which kind is a {x}?"), ("Tell me what kind of thing a {x} is.", "Do you know which kind a {x} is?")),
    "next": (NEXT, ("What comes after {x}?", "After {x}?", "Name what comes after {x}.", "{x} comes before which one?", "Which one comes after {x}?"), ("Tell me what comes after {x}.", "Do you know what comes after {x}?")),
    "digits": (NUMBERS, ("Write {x} in digits.", "Digits of {x}?", "Name the digits of {x}.", "{x} in digits is what?", "What is {x} in digits?"), ("Tell me {x} in digits.", "Do you know {x} in digits?")),
}  # fmt: skip
