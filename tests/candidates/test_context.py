"""`{context}` is what was retrieved, whatever columns the rows have."""

import pytest

from ftvp_core.candidates.prompt import renderer
from ftvp_core.errors import UserError
from ftvp_core.spec import Candidate
from ftvp_core.types import Example, ExampleSet, Given, Mapped, Passage

ROW = Example("1", "who?", ("me",), {"question": "who?", "context": "the gold passage", "answer": "me"})
ROWS = ExampleSet("e", "0", "json", "utf-8", Mapped("question", "answer"), (ROW,))
FOUND = (Passage("p#1", "p", "first found"), Passage("p#2", "p", "second found"))


def user(given: Given, **keys: object) -> str:
    candidate = Candidate.model_validate({"name": "a", "model": "openai/m", **keys})
    return renderer(candidate, "candidate a", ROWS)(ROW, given).messages[-1].content


def test_a_column_named_context_never_stands_for_what_is_retrieved() -> None:
    prompt = {"user": "{context} | {question}"}
    assert user(Given(FOUND), prompt=prompt, retrieval={}) == "first found\n\nsecond found | who?"
    assert user(Given(()), prompt=prompt, retrieval={"oracle": True}) == " | who?"
    assert user(Given(FOUND), prompt={"user": "{question}"}, retrieval={}) == "first found\n\nsecond found\n\nwho?"


def test_without_retrieval_it_is_a_column_like_others() -> None:
    assert user(Given(), prompt={"user": "{context} | {question}"}) == "the gold passage | who?"
    bare = ExampleSet("e", "0", "json", "utf-8", Mapped("question"), (Example("1", "q", (), {"question": "q"}),))
    candidate = Candidate.model_validate({"name": "a", "model": "openai/m", "prompt": {"user": "{context}"}})
    with pytest.raises(UserError, match="context"):
        renderer(candidate, "candidate a", bare)
