"""Decide as a visitor meets it: why this candidate, and what couldn't be tried."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from ftvp_core.__main__ import main
from tests.pages.conftest import ROWS, Home, said
from tests.pages.test_compare import mostly

Opened = Callable[..., AppTest]
DECIDE = "pages/5_Decide.py"


def test_without_a_run_it_offers_one(home: Home, opened: Opened) -> None:
    at = opened(DECIDE)
    assert not at.exception
    assert at.title[0].value == "Decide"
    assert [button.label for button in at.button] == ["Run the demo"]


def test_it_says_how_a_candidate_is_chosen(home: Home, opened: Opened) -> None:
    at = opened(DECIDE, home.run({"good": mostly(36), "poor": mostly(10)}))
    assert not at.exception
    assert at.title[0].value == "Choose good"
    assert "takes the least to build and keep" in said(at)


def test_rules_that_nothing_can_be_tried_on_are_folded_away_and_say_what_is_missing(home: Home, opened: Opened) -> None:
    at = opened(DECIDE, home.run({"good": mostly(36), "poor": mostly(10)}))
    (folded,) = at.expander
    assert folded.label == "Not tried (8)"
    missing = "\n".join(one.value for one in folded.markdown)
    assert "needs RAG beside a candidate without retrieval" in missing
    assert "needs a floor beside a model" in missing
    boxes = [one.value for one in at.main.markdown if one not in list(folded.markdown)]
    assert sum("holds" in box or "doesn't hold" in box for box in boxes) == 2


def test_the_address_names_the_run_that_is_shown(home: Home, opened: Opened) -> None:
    home.run({"good": mostly(36)}, name="older")
    run_id = home.run({"good": mostly(36)}, name="newest")
    at = opened(DECIDE)
    assert not at.exception
    assert run_id in at.query_params["run"]
    assert any(one.value.startswith("newest ") for one in at.caption)


def priced(home: Home) -> str:
    """A finished run of two candidates whose answers say what they cost, and one whose don't."""
    home.run({"unpriced": mostly(36)})
    for name, usd in (("dear", "0.002"), ("cheap", "0.0005")):
        rows = "\n".join(f"{row[0]},{output},{usd}" for row, output in zip(ROWS, mostly(36), strict=True))
        (home.folder / f"{name}.csv").write_text(f"id,output,cost_usd\n{rows}\n", encoding="utf-8")
    with (home.folder / "comparison.yaml").open("a", encoding="utf-8") as file:
        file.write("\n  - {name: dear, recorded: dear.csv}\n  - {name: cheap, recorded: cheap.csv}\n")
    main(["run", str(home.folder / "comparison.yaml")])
    return home.store.runs()[0].id


def test_the_cost_of_a_month_follows_the_volume(home: Home, opened: Opened) -> None:
    at = opened(DECIDE, priced(home))
    assert not at.exception
    (volume,) = at.select_slider
    assert volume.label == "Requests a month" and volume.value == 100_000

    def shown() -> list[tuple[str, str]]:
        (table,) = (one.value for one in at.dataframe if "a month" in one.value)
        return list(zip(table["candidate"], table["a month"], strict=True))

    assert shown() == [("cheap", "$50.00"), ("dear", "$200.00")]
    volume.set_value(1_000_000).run()
    assert not at.exception
    assert shown() == [("cheap", "$500.00"), ("dear", "$2,000")]
    assert any("unpriced" in one.value for one in at.caption)
    assert at.title[0].value.startswith("Choose")


def test_without_a_cost_there_is_no_volume_to_choose(home: Home, opened: Opened) -> None:
    assert not opened(DECIDE, home.run({"good": mostly(36)})).select_slider
