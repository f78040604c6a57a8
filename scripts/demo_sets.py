"""The files of the demo: the handbook, four eval sets with their training sets, and the mixture the demo runs on.

    python scripts/demo_sets.py         # writes assets/demo again, byte for byte

The four are the thesis: *facts* (a handbook's), *labels* (a ticket's house code), *form* (a fact in the house's
JSON) and *general* (a control for forgetting). All names, values and wordings are held out of pre-training.
"""

import csv
import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import demo_words as words
import demo_world as world
from demo_world import Fact

ASSETS = Path(__file__).parents[1] / "assets" / "demo"
SEED = 23
TEAMS = 50
#: Facts by what becomes of them. All are in the handbook.
NEW, DRILLED, CHANGED, SHOWN = 100, 60, 40, 100
NO_ANSWER = 20
#: Wordings of each drilled fact in the training set.
WORDINGS = 10
#: A ticket's phrases that the training set may use; the eval set uses all eight of a topic.
TAUGHT_PHRASES = 6
#: How a task is asked for.
TICKET, CARD = "Ticket: {}", "Card: {}"
#: The same in every training set: how many rows.
TRAINING_ROWS = 1000
COLUMNS = ("id", "input", "reference", "tags", "gold")
SECTIONS = dict(
    zip(words.HANDBOOK_ATTRIBUTES, ("Access", "Costs", "People", "Rooms", "Phones", "Archive"), strict=True)
)


@dataclass(frozen=True)
class Row:
    """A row of an eval or training set. `gold`: the handbook's passage that answers it."""

    input: str
    reference: str
    tags: str
    gold: str = ""


@dataclass(frozen=True)
class Book:
    """The handbook's facts: `old` holds what the changed ones said when the LoRA was trained."""

    teams: tuple[str, ...]
    new: tuple[Fact, ...]
    drilled: tuple[Fact, ...]
    changed: tuple[Fact, ...]
    old: tuple[Fact, ...]
    shown: tuple[Fact, ...]


def make_book(rng: random.Random) -> Book:
    """Fifty teams with six facts each, shared out at random."""
    teams = tuple(sorted(fact.team for fact in world.facts(rng, TEAMS, demo=True)))
    found = [
        Fact(team, attribute, world.value(rng, words.ATTRIBUTES[attribute], demo=True))
        for team in teams
        for attribute in words.HANDBOOK_ATTRIBUTES
    ]
    rng.shuffle(found)
    parts = []
    for size in (NEW, DRILLED, CHANGED, SHOWN):
        parts.append(tuple(found[:size]))
        found = found[size:]
    new, drilled, changed, shown = parts
    old = []
    for fact in changed:
        before = fact.value
        while before == fact.value:
            before = world.value(rng, words.ATTRIBUTES[fact.attribute], demo=True)
        old.append(replace(fact, value=before))
    return Book(teams, new, drilled, changed, tuple(old), shown)


def page_name(team: str) -> str:
    """The handbook's file of a team."""
    return f"{team.lower().replace(' ', '-')}.md"


def gold(fact: Fact) -> str:
    """The passage that holds the fact, as `read_knowledge` names it."""
    return f"{page_name(fact.team)}#{words.HANDBOOK_ATTRIBUTES.index(fact.attribute) + 1}"


def write_handbook(rng: random.Random, book: Book, folder: Path) -> None:
    """A page a team, a section a fact."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    facts = {(fact.team, fact.attribute): fact for fact in (*book.new, *book.drilled, *book.changed, *book.shown)}
    for team in book.teams:
        sections = []
        for attribute in words.HANDBOOK_ATTRIBUTES:
            text = world.statement(facts[team, attribute], rng.choice(words.STATEMENTS_HELD_OUT))
            if rng.random() < 0.3:
                text = f"{text} {rng.choice(words.FILLERS)}"
            sections.append(f"## {SECTIONS[attribute]}\n\n{text}\n")
        (folder / page_name(team)).write_text(f"# {team}\n\n" + "\n".join(sections), encoding="utf-8")


def questions(rng: random.Random, fact: Fact, count: int) -> list[str]:
    """The fact asked in several of the held-out wordings, and in others when these are used up."""
    chosen = rng.sample(words.QUESTIONS_HELD_OUT, min(count, len(words.QUESTIONS_HELD_OUT)))
    chosen += rng.sample(words.QUESTIONS, count - len(chosen))
    return [world.question(fact, template) for template in chosen]


def facts_sets(rng: random.Random, book: Book) -> tuple[list[Row], list[Row]]:
    """Facts never trained, drilled, and changed since; and teams that the handbook doesn't know."""
    rows, training = [], []
    parts: tuple[tuple[str, tuple[Fact, ...], tuple[Fact, ...]], ...] = (
        ("new fact", book.new, ()),
        ("drilled fact", book.drilled, book.drilled),
        ("changed fact", book.changed, book.old),
    )
    for tag, asked, told in parts:
        for at, fact in enumerate(asked):
            own, *others = questions(rng, fact, WORDINGS + 1)
            rows.append(Row(own, fact.value, f"facts;{tag}", gold(fact)))
            if told:
                training += [Row(each, told[at].value, "facts", gold(fact)) for each in others]
    for fact in world.facts(rng, NO_ANSWER, demo=True):
        attribute = rng.choice(words.HANDBOOK_ATTRIBUTES)
        asked_for = world.question(replace(fact, attribute=attribute), rng.choice(words.QUESTIONS_HELD_OUT))
        rows.append(Row(asked_for, words.UNKNOWN, "facts;no answer"))
    return rows, _shuffled(rng, training)[:TRAINING_ROWS]


def labels_sets(rng: random.Random) -> tuple[list[Row], list[Row]]:
    """Tickets with their house code. Two of a topic's eight phrases are in no training row."""
    seen: set[str] = set()

    def drawn(count: int, phrases: int) -> list[Row]:
        rows: list[Row] = []
        while len(rows) < count:
            topic = words.TOPICS[len(rows) % len(words.TOPICS)]
            text = world.ticket(rng, topic, words.TICKETS_HELD_OUT[topic][:phrases], demo=True)
            if text not in seen:
                seen.add(text)
                rows.append(Row(TICKET.format(text), words.HOUSE_CODES[topic], "labels"))
        return _shuffled(rng, rows)

    everything = len(words.TICKETS_HELD_OUT[words.TOPICS[0]])
    return drawn(240, everything), drawn(TRAINING_ROWS, TAUGHT_PHRASES)


def card(fact: Fact) -> str:
    """A fact in house form."""
    return json.dumps({"card": fact.attribute, "answer": fact.value})


def form_sets(rng: random.Random, book: Book) -> tuple[list[Row], list[Row]]:
    """Facts to be written as cards: the eval set's are new, the training set's are others of the handbook."""
    rows = []
    for fact in book.new:
        rows += [Row(CARD.format(each), card(fact), "form", gold(fact)) for each in questions(rng, fact, 2)]
    shown = (*book.shown, *book.drilled)
    training = [
        Row(CARD.format(each), card(fact), "form", gold(fact)) for fact in shown for each in questions(rng, fact, 8)
    ]
    return _shuffled(rng, rows), _shuffled(rng, training)[:TRAINING_ROWS]


def general_set() -> list[Row]:
    """What pre-training taught, asked in other words."""
    rows = []
    for pairs, _, asked in words.GENERAL.values():
        for x, answer in pairs.items():
            for template in asked:
                text = template.format(x=x)
                rows.append(Row(text[0].upper() + text[1:], answer, "general"))
    return rows


def mixture(rng: random.Random, parts: Sequence[tuple[Sequence[Row], int]]) -> list[Row]:
    """So many rows of each, shuffled."""
    return _shuffled(rng, [row for rows, count in parts for row in rng.sample(list(rows), count)])


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """As CSV with the columns that the comparison file names."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for at, row in enumerate(rows, 1):
            writer.writerow((f"{path.stem}-{at}", row.input, row.reference, row.tags, row.gold))


def _shuffled(rng: random.Random, rows: Sequence[Row]) -> list[Row]:
    return rng.sample(list(rows), len(rows))


def write_world(to: Path = ASSETS) -> None:
    """All of it, from the seed alone."""
    rng = random.Random(SEED)
    to.mkdir(parents=True, exist_ok=True)
    book = make_book(rng)
    write_handbook(rng, book, to / "handbook")
    facts_eval, facts_train = facts_sets(rng, book)
    labels_eval, labels_train = labels_sets(rng)
    form_eval, form_train = form_sets(rng, book)
    general_eval = general_set()
    new = [row for row in facts_eval if "new fact" in row.tags]
    rest = [row for row in facts_eval if "new fact" not in row.tags]
    for name, rows in (
        ("facts_eval", facts_eval),
        ("facts_train", facts_train),
        ("labels_eval", labels_eval),
        ("labels_train", labels_train),
        ("form_eval", form_eval),
        ("form_train", form_train),
        ("general_eval", general_eval),
        ("demo_eval", mixture(rng, ((new, 40), (rest, 30), (labels_eval, 50), (form_eval, 50), (general_eval, 30)))),
        ("demo_train", mixture(rng, ((facts_train, 300), (labels_train, 350), (form_train, 350)))),
    ):
        write_rows(to / f"{name}.csv", rows)


if __name__ == "__main__":
    write_world()
