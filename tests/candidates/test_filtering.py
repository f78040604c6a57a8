"""Only what matches is searched, and as much of it as is asked for."""

from collections.abc import Sequence

import pytest

from ftvp_core.candidates.filtering import filtered
from ftvp_core.candidates.lexical import LexicalIndex
from ftvp_core.candidates.lookup import open_lookup
from ftvp_core.candidates.ranking import Index
from ftvp_core.errors import UserError
from ftvp_core.spec import Candidate, RetrievalSpec
from ftvp_core.types import Example, ExampleSet, Knowledge, Mapped, Passage

PASSAGES = (
    *(Passage(f"guides/{at}.md", f"guides/{at}.md", f"lang: en\nthe parcel, part {at}") for at in range(6)),
    *(Passage(f"api/{at}.md", f"api/{at}.md", "the parcel parcel parcel") for at in range(6)),
    *(Passage(f"t.csv#{at}", "t.csv", f"lang: {'ko' if at % 2 else 'en'}\ntext: 소포 parcel {at}") for at in range(6)),
)
KNOWLEDGE = Knowledge("k", "0", PASSAGES)


@pytest.mark.parametrize(
    ("patterns", "ids"),
    [
        (None, [one.id for one in PASSAGES]),
        ({"source": "guides/*"}, [f"guides/{at}.md" for at in range(6)]),
        ({"source": "*/[12].md"}, ["guides/1.md", "guides/2.md", "api/1.md", "api/2.md"]),
        ({"lang": "ko"}, ["t.csv#1", "t.csv#3", "t.csv#5"]),
        ({"lang": "ko", "text": "* [45]"}, ["t.csv#5"]),
    ],
)
def test_patterns_are_of_sources_and_of_a_tables_columns(patterns: dict[str, str] | None, ids: list[str]) -> None:
    assert [one.id for one in filtered(KNOWLEDGE, patterns, "candidate r")] == ids


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        ({"source": "guide/*"}, "filter.source: found no passage that matches 'guide/*'; there are guides/0.md"),
        ({"lang": "de"}, "filter.lang: found no passage that matches 'de'; there are en, ko"),
        ({"source": "t.csv", "land": "ko"}, "filter.land: found no passage that matches 'ko'; there are source, lang"),
    ],
)
def test_a_pattern_that_matches_nothing_is_one_line_with_what_there_is(patterns: dict[str, str], said: str) -> None:
    with pytest.raises(UserError) as raised:
        filtered(KNOWLEDGE, patterns, "candidate r")
    assert said in str(raised.value)


def test_a_search_is_as_long_as_without_a_filter() -> None:
    """The six passages outside hold the word more often: a filter after the search would leave none."""
    example = Example("1", "parcel", (), {})
    eval_set = ExampleSet("e", "0", "csv", "utf-8", Mapped("input"), (example,))
    retrieval = {"mode": "lexical", "top_k": 4, "filter": {"source": "guides/*"}}
    candidate = Candidate.model_validate({"name": "r", "model": "openai/m", "retrieval": retrieval})

    def index_of(texts: Sequence[str], asked: RetrievalSpec) -> Index:
        return LexicalIndex(texts)

    given = open_lookup(candidate, "candidate r", eval_set, None, KNOWLEDGE, 0, index_of)([example])[0]
    assert len(given.passages) == 4
    assert all(one.source.startswith("guides/") for one in given.passages)
