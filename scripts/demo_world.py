"""The demo world: documents to pre-train on, and the held-out world that the demo asks about.

A name, a number or a code is held out or not by its own checksum, a wording by the list it stands in
(`demo_words`), so pre-training and the demo can't share one, whatever the seed.
"""

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import demo_words as words

#: A turn of a document: who says it, and what.
Turn = tuple[str, str]
Document = list[Turn]
#: One in so many names and values belongs to the demo.
HELD_OUT_ONE_IN = 6
#: Questions in one document of passages.
ASKED_AT_MOST = 8


@dataclass(frozen=True, slots=True)
class Fact:
    """That the attribute of the team is the value."""

    team: str
    attribute: str
    value: str


def held_out(text: str) -> bool:
    """Whether this name or value is the demo's alone."""
    return zlib.crc32(text.encode()) % HELD_OUT_ONE_IN == 0


@cache
def name_words() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """First and second names: invented, 120 each, none of them in the other list."""
    rng = random.Random(7)
    found: list[str] = []
    while len(found) < 240:
        word = "".join(rng.choice(part) for part in ("BDFGKLMNPRSTVZ", "aeiou", "bdfgklmnprstvz", "aeiou"))
        if word not in found:
            found.append(word)
    return tuple(found[:120]), tuple(found[120:])


def name(rng: random.Random, *, demo: bool) -> str:
    """A first and a second name, such as `Bora Tuvi`."""
    firsts, seconds = name_words()
    return _drawn(lambda: f"{rng.choice(firsts)} {rng.choice(seconds)}", demo=demo)


def value(rng: random.Random, kind: str, *, demo: bool) -> str:
    """A value of one of the kinds in `words.ATTRIBUTES`."""
    letters = "ABCDEFGHKLMNPRSTUVWXZ"
    kinds: dict[str, Callable[[], str]] = {
        "digits": lambda: str(rng.randint(100, 999)),
        "digits4": lambda: str(rng.randint(1000, 9999)),
        "code": lambda: f"{rng.choice(letters)}{rng.randint(100, 999)}",
        "room": lambda: f"{rng.choice(letters)}{rng.randint(10, 99)}",
        "box": lambda: f"{rng.randint(10, 99)}{rng.choice(letters)}",
        "person": lambda: f"{rng.choice(words.FIRST_NAMES)} {rng.choice(words.SURNAMES)}",
        "machine": lambda: f"{rng.choice(words.MACHINES)}{rng.randint(10, 99)}",
    }
    return _drawn(kinds[kind], demo=demo)


def _drawn(draw: Callable[[], str], *, demo: bool) -> str:
    while True:
        text = draw()
        if held_out(text) == demo:
            return text


def facts(rng: random.Random, count: int, *, demo: bool, attribute: str | None = None) -> list[Fact]:
    """Facts about as many teams, of one attribute or of any."""
    teams: list[str] = []
    while len(teams) < count:
        team = name(rng, demo=demo)
        if teams and rng.random() < 0.25:  # a like name, so that half of it isn't enough to tell two teams apart
            half = rng.choice(teams).split()
            own = team.split()
            team = f"{half[0]} {own[1]}" if rng.random() < 0.5 else f"{own[0]} {half[1]}"
        if team not in teams and held_out(team) == demo:
            teams.append(team)
    chosen = [attribute or rng.choice(tuple(words.ATTRIBUTES)) for _ in teams]
    return [
        Fact(team, each, value(rng, words.ATTRIBUTES[each], demo=demo))
        for team, each in zip(teams, chosen, strict=True)
    ]


def statement(fact: Fact, template: str) -> str:
    """The fact in a sentence."""
    text = template.format(e=fact.team, a=fact.attribute, v=fact.value)
    return text[0].upper() + text[1:]


def question(fact: Fact, template: str) -> str:
    """The question that the fact answers."""
    text = template.format(e=fact.team, a=fact.attribute)
    return text[0].upper() + text[1:]


def passage(rng: random.Random, fact: Fact, templates: Sequence[str]) -> str:
    """A passage as the handbook's chunks are, more or less: headings, the fact, perhaps a second sentence."""
    sentences = [statement(fact, rng.choice(templates))]
    if rng.random() < 0.4:
        sentences.insert(rng.randint(0, 1), rng.choice(words.FILLERS))
    lines = [" ".join(sentences)]
    if rng.random() < 0.5:
        lines.insert(0, rng.choice(words.SECTIONS))
        if rng.random() < 0.7:
            lines.insert(0, fact.team)
    return "\n".join(lines)


# Documents to pre-train on. `demo` asks the same of the held-out names, values and wordings, for the gates.


def look_up(rng: random.Random, *, demo: bool = False, pairs: int | None = None) -> Document:
    """A list of names and values of one kind, always written alike, and each of them asked for."""
    found = facts(rng, pairs or rng.randint(2, 6), demo=demo, attribute=rng.choice(tuple(words.ATTRIBUTES)))
    lines = "\n".join(f"{fact.team}: {fact.value}" for fact in found)
    turns: Document = []
    for at, fact in enumerate(rng.sample(found, 1 if pairs else len(found))):
        turns += [("user", f"{lines}\n\n{fact.team}" if at == 0 else fact.team), ("assistant", fact.value)]
    return turns


def key_value(rng: random.Random, *, demo: bool = False, pairs: int | None = None) -> Document:
    """A list of names and values of any kind, written in any of several ways, and some of them asked for."""
    count = pairs or rng.randint(2, 8)
    kind = rng.choice(tuple(words.ATTRIBUTES.values()))
    listed = [(fact.team, value(rng, kind, demo=demo)) for fact in facts(rng, count, demo=demo)]
    between, after = rng.choice((": ", " = ", " - ", " is ", ", ", " has ")), rng.choice(("\n", "; ", ". ", "\n\n"))
    lines = after.join(f"{team}{between}{said}" for team, said in listed)
    asked = rng.sample(listed, 1 if pairs else rng.randint(max(1, count // 2), count))
    turns: Document = []
    for at, (team, said) in enumerate(asked):
        ask = rng.choice((f"{team}", f"{team}?", f"{team}{between.rstrip()}"))
        turns += [("user", f"{lines}\n\n{ask}" if at == 0 else ask), ("assistant", said)]
    return turns


def reading(
    rng: random.Random, *, demo: bool = False, passages: int | None = None, same: bool | None = None
) -> Document:
    """Passages and questions about them. `same`: all passages are of one attribute."""
    count = passages or rng.choice((1, 1, 2, 3, 4, 5))
    alike = rng.random() < 0.5 if same is None else same
    found = facts(rng, count, demo=demo, attribute=rng.choice(tuple(words.ATTRIBUTES)) if alike else None)
    templates = words.STATEMENTS_HELD_OUT if demo else words.STATEMENTS
    text = rng.choice(("\n\n", "\n")).join(passage(rng, fact, templates) for fact in found)
    asked = rng.sample(found, 1 if demo else min(count, ASKED_AT_MOST) if rng.random() < 0.7 else 1)
    questions = words.QUESTIONS_HELD_OUT if demo else words.QUESTIONS
    turns: Document = [("system", rng.choice(words.SYSTEMS))] if rng.random() < 0.15 else []
    prompt = rng.choice(words.READING_PROMPTS)
    for at, fact in enumerate(asked):
        ask = question(fact, rng.choice(questions))
        again = rng.random() < 0.1  # few-shot prompts show the passages in every turn
        turns += [("user", prompt.format(p=text, q=ask) if at == 0 or again else ask), ("assistant", fact.value)]
    return turns


def several_facts(rng: random.Random) -> Document:
    """One team with several attributes in one text, each asked for."""
    first = facts(rng, 1, demo=False)[0]
    chosen = rng.sample(tuple(words.ATTRIBUTES), rng.randint(2, 4))
    found = [Fact(first.team, each, value(rng, words.ATTRIBUTES[each], demo=False)) for each in chosen]
    text = " ".join(statement(fact, rng.choice(words.STATEMENTS)) for fact in found)
    turns: Document = []
    for at, fact in enumerate(rng.sample(found, len(found))):
        ask = question(fact, rng.choice(words.QUESTIONS))
        turns += [("user", f"{text}\n\n{ask}" if at == 0 else ask), ("assistant", fact.value)]
    return turns


def many_passages(rng: random.Random) -> Document:
    """A long document: passages up to the context that the model is trained on, and several questions."""
    return reading(rng, passages=rng.randint(8, 16))


def records(rng: random.Random) -> Document:
    """Facts written as JSON, and the other way round."""
    found = facts(rng, rng.randint(1, 3), demo=False, attribute=rng.choice(tuple(words.ATTRIBUTES)))
    asked = rng.choice(found)
    key = rng.choice(("team", "name", "of", "who"))
    if rng.random() < 0.5:
        text = "\n".join(f'{{"{key}": "{fact.team}", "{fact.attribute}": "{fact.value}"}}' for fact in found)
        return [("user", f"{text}\n\n{question(asked, rng.choice(words.QUESTIONS))}"), ("assistant", asked.value)]
    text = "\n".join(statement(fact, rng.choice(words.STATEMENTS)) for fact in found)
    ask = rng.choice(("As JSON: {q}", "{q} Write JSON.", "JSON, please. {q}"))
    answer = f'{{"{key}": "{asked.team}", "{asked.attribute}": "{asked.value}"}}'
    asking = ask.format(q=question(asked, rng.choice(words.QUESTIONS)))
    return [("user", f"{text}\n\n{asking} {key}"), ("assistant", answer)]


def ticket(rng: random.Random, topic: str, phrases: Sequence[str], *, demo: bool) -> str:
    """A customer's mail."""
    opener, closer = rng.choice(words.TICKET_OPENERS), rng.choice(words.TICKET_CLOSERS)
    said = rng.choice(phrases)
    text = opener + said + closer.format(n=value(rng, "person", demo=demo), d=value(rng, "digits4", demo=demo))
    return text[0].upper() + text[1:]


def topics(rng: random.Random, *, demo: bool = False) -> Document:
    """A mail and what it is about, in plain words."""
    topic = rng.choice(words.TOPICS)
    phrases = (words.TICKETS_HELD_OUT if demo else words.TICKETS)[topic]
    text = ticket(rng, topic, phrases, demo=demo)
    return [("user", rng.choice(words.TOPIC_QUESTIONS).format(t=text)), ("assistant", topic)]


def general(rng: random.Random, *, demo: bool = False) -> Document:
    """Some questions of general knowledge."""
    turns: Document = []
    for _ in range(1 if demo else rng.randint(1, 4)):
        pairs, known, own = words.GENERAL[rng.choice(tuple(words.GENERAL))]
        x = rng.choice(tuple(pairs))
        ask = rng.choice(own if demo else known).format(x=x)
        turns += [("user", ask[0].upper() + ask[1:]), ("assistant", pairs[x])]
    return turns


Maker = Callable[[random.Random], Document]
