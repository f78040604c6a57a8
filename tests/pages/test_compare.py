"""Compare in each of its states, as a visitor meets it."""

import json
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from streamlit.testing.v1 import AppTest

from ftvp_core.__main__ import main
from tests.pages.conftest import ROWS, Home, said
from ui.runs import moment

Opened = Callable[..., AppTest]
COMPARE = "pages/4_Compare.py"
RIGHT = [reference for _, _, reference in ROWS]
WRONG = ["maybe"] * len(ROWS)


def mostly(right: int) -> list[str | None]:
    """The first `right` answers right, the rest wrong."""
    return [*RIGHT[:right], *WRONG[right:]]


def figures_of(at: AppTest) -> list[dict[str, object]]:
    return [json.loads(chart.proto.spec) for chart in at.get("plotly_chart")]


def alts_of(at: AppTest) -> list[str]:
    return [chart.proto.alt for chart in at.get("plotly_chart")]


def test_without_a_run_says_what_to_do(home: Home, opened: Opened) -> None:
    at = opened(COMPARE)
    assert not at.exception
    assert "Nothing has been run yet" in at.info[0].value
    assert [button.label for button in at.button] == ["Run the demo"]
    at.button[0].click().run()
    assert home.store.runs()[0].name == "demo"


def test_without_an_id_a_run_can_be_chosen(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    at = opened(COMPARE)
    next(button for button in at.button if button.key == run_id).click().run()
    assert not at.exception
    assert at.title[0].value == "small"
    assert at.query_params["run"] == run_id


def test_an_unknown_id_is_one_line(home: Home, opened: Opened) -> None:
    at = opened(COMPARE, "250101-000000-abcdef")
    assert not at.exception
    problem = next(text.value for text in at.text if "250101-000000-abcdef" in text.value)
    assert "\n" not in problem


def test_done_shows_the_answer_the_evidence_and_the_table(home: Home, opened: Opened) -> None:
    at = opened(COMPARE, home.run({"good": mostly(36), "poor": mostly(10)}))
    assert not at.exception
    assert at.title[0].value == "small"
    assert any("good answers 90 % right" in text.value for text in at.text)
    assert len(figures_of(at)) == 5
    assert "good 90 % (77–96)" in alts_of(at)[0]
    table = at.dataframe[0].value
    assert list(table["candidate"]) == ["good", "poor"]
    assert list(table["accuracy, %"]) == [90.0, 25.0]
    assert list(table["failed"]) == [0, 0]


def test_what_turns_no_verdict_stands_below_the_answer(home: Home, opened: Opened) -> None:
    """Rows too few to decide stand above it; that some references are JSON and others not is good to know."""
    rows = [(f"q{at}", f"question {at}", '{"a": 1}' if at % 4 else "no") for at in range(40)]
    at = opened(COMPARE, home.run({"good": [row[2] for row in rows]}, rows))
    assert not at.exception
    texts = [text.value for text in at.text]
    few, answer, mixed = (
        next(place for place, text in enumerate(texts) if part in text)
        for part in (
            "only very large differences show",
            "good answers 100 % right",
            "written otherwise than the others",
        )
    )
    assert few < answer < mixed
    (folded,) = [one for one in at.expander if one.label == "Good to know (1)"]
    assert [text.value for text in folded.text] == [texts[mixed]]


def test_unknown_cost_and_latency_are_never_zero(home: Home, opened: Opened) -> None:
    at = opened(COMPARE, home.run({"good": mostly(36), "poor": mostly(10)}))
    table = at.dataframe[0].value
    assert table["$ per 1,000"].isna().all()
    assert table["p50, s"].isna().all()
    assert at.dataframe[0].proto.placeholder == "unknown"
    _, latency, cost, *_ = alts_of(at)
    assert "good unknown" in latency
    assert "good unknown" in cost


def test_where_they_differ_counts_pages_and_marks(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    at = opened(COMPARE, run_id)
    control = at.get("button_group")[0]
    assert [option.content for option in control.proto.options] == [
        "A right, B wrong (26)", "B right, A wrong (0)", "both wrong (4)",
    ]  # fmt: skip
    assert "question 10" in said(at)
    assert ":orange-background[maybe]" in said(at)
    at.session_state[f"kind-{run_id}"] = "neither"
    at.run()
    assert not at.exception
    assert "question 36" in said(at)
    assert "question 10" not in said(at)


def test_another_baseline_turns_the_differences(home: Home, opened: Opened) -> None:
    at = opened(COMPARE, home.run({"good": mostly(36), "poor": mostly(10)}))
    baseline = next(box for box in at.selectbox if box.label == "Baseline")
    assert baseline.value == "good"
    baseline.select("poor").run()
    assert not at.exception
    assert "good +65" in alts_of(at)[-1]
    assert "against poor, points" in at.dataframe[0].value.columns


def test_failures_stand_in_the_same_view(home: Home, opened: Opened) -> None:
    at = opened(COMPARE, home.run({"whole": mostly(30), "gaps": [*RIGHT[:30], *[None] * 10]}))
    assert not at.exception
    assert any(text.value == "gaps: 10 of 40 rows failed: no recorded answer" for text in at.text)
    failed = dict(zip(at.dataframe[0].value["candidate"], at.dataframe[0].value["failed"], strict=True))
    assert failed == {"whole": 0, "gaps": 10}


def test_running_shows_progress_and_what_is_there(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    home.begin(run_id, done=40, total=80)
    at = opened(COMPARE, run_id)
    assert not at.exception
    assert at.get("progress")[0].proto.value == 50
    assert at.get("progress")[0].proto.text == "answering: 40 of 80"
    table = at.dataframe[0].value
    assert list(table["failed"]) == [0, 0]
    assert list(table["not run"]) == [20, 20]
    assert not any("not run" in text.value for text in at.text)
    assert not any("rows failed" in text.value for text in at.text)


def test_running_with_nothing_graded_draws_no_empty_charts(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    home.begin(run_id, done=0, total=80)
    at = opened(COMPARE, run_id)
    assert not at.exception
    assert "No answer has been graded yet." in said(at)
    assert not figures_of(at) and not at.dataframe
    assert "pause and cancel" in at.main.get("page_link")[0].proto.label


def test_running_says_how_long_it_still_takes(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    home.begin(run_id, done=40, total=80)
    home.change(run_id, progress={**(home.store.run(run_id).progress or {}), "since": time.time() - 300})
    at = opened(COMPARE, run_id)
    assert at.get("progress")[0].proto.text == "answering: 40 of 80, about 5 min left"


def test_a_paused_runs_figures_are_read_again_when_a_call_has_ended(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    home.begin(run_id, done=40, total=80)
    home.change(run_id, pause=True)
    at = opened(COMPARE, run_id)
    home.begin(run_id, done=20, total=80)
    home.change(run_id, progress={**(home.store.run(run_id).progress or {}), "done": 40})
    assert list(at.run().dataframe[0].value["not run"]) == [20, 20], "it says that nothing has changed"
    home.begin(run_id, done=20, total=80)
    assert list(at.run().dataframe[0].value["not run"]) == [30, 30]


def test_the_more_answers_a_run_has_the_less_often_its_figures_are_read(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    for done, times in ((40, 32), (5_000, 16), (27_000, 4)):
        home.begin(run_id, done=done, total=30_000)
        run, seen = home.store.run(run_id), set()
        for second in range(64):
            monkeypatch.setattr("ui.runs.time", SimpleNamespace(time=lambda now=6400 + second: now))
            seen.add(moment(run))
        assert len(seen) == times


@pytest.mark.parametrize("state", ["partial", "failed", "cancelled"])
def test_ended_early_says_why_and_how_to_go_on(home: Home, opened: Opened, state: str) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    home.change(run_id, state=state, cause="the cost limit of $1.00 is reached")
    at = opened(COMPARE, run_id)
    assert not at.exception
    assert any(state in text.value and "the cost limit of $1.00 is reached" in text.value for text in at.text)
    assert f"python -m ftvp_core run --resume {run_id}" in said(at)


def test_a_dead_process_leaves_an_interrupted_run(home: Home, opened: Opened) -> None:
    run_id = home.run({"good": mostly(36), "poor": mostly(10)})
    home.begin(run_id, done=40, total=80)
    home.change(run_id, beat_at=0.0)
    at = opened(COMPARE, run_id)
    assert any("This run was interrupted" in text.value for text in at.text)
    assert f"--resume {run_id}" in said(at)


def test_nothing_graded_draws_no_accuracy(home: Home, opened: Opened) -> None:
    at = opened(COMPARE, home.run({"silent": [None] * len(ROWS), "mute": [None] * len(ROWS)}))
    assert not at.exception
    assert any("No answer has been graded yet." in text.value for text in at.text)
    assert at.dataframe[0].value["accuracy, %"].isna().all()


def test_one_candidate_has_no_differences(home: Home, opened: Opened) -> None:
    at = opened(COMPARE, home.run({"alone": mostly(30)}))
    assert not at.exception
    assert "Where they differ" not in said(at)


def test_names_and_texts_of_any_script_stay_themselves(home: Home, opened: Opened) -> None:
    rows = [(f"r{at}", f"배송이 {at}일째 오지 않습니다", "배송" if at % 2 else "التوصيل") for at in range(30)]
    first = [reference for _, _, reference in rows]
    second = [first[at] if at % 3 else "환불" for at in range(30)]
    run_id = home.run({"규칙 기반": first, "إجابات الفريق": second}, rows, name="고객 문의")
    at = opened(COMPARE, run_id)
    assert not at.exception
    assert at.title[0].value == "고객 문의"
    assert any("규칙 기반 answers 100 % right" in text.value for text in at.text)
    assert set(at.dataframe[0].value["candidate"]) == {"규칙 기반", "إجابات الفريق"}
    assert "배송이 0일째 오지 않습니다" in said(at)


def test_nothing_in_the_data_is_markup(home: Home, opened: Opened) -> None:
    hostile = "<b>x</b> ![p](http://example.invalid/p.png) $a$ :red[r]"
    rows = [(f"r{at}", hostile, "ok") for at in range(12)]
    at = opened(COMPARE, home.run({hostile: ["ok"] * 12, "other": [hostile] * 12}, rows))
    assert not at.exception
    for element in (*at.markdown, *at.caption, *at.title, *at.header):
        assert "![p](" not in str(element.value)
        assert "<b>" not in str(element.value)
    for figure in figures_of(at):
        assert "<b>x" not in json.dumps(figure)


def test_validity_is_a_column_only_where_a_candidate_has_a_schema(home: Home, opened: Opened) -> None:
    plain = home.run({"good": mostly(36), "poor": mostly(10)})
    file = home.folder / "comparison.yaml"
    with_schema = file.read_text().replace("answers0.csv}", 'answers0.csv, output_schema: {type: "null"}}')
    file.write_text(with_schema)
    main(["run", str(file)])
    held = home.store.runs()[0].id
    assert "valid output, %" not in opened(COMPARE, plain).dataframe[0].value
    at = opened(COMPARE, held)
    assert not at.exception
    assert list(at.dataframe[0].value["valid output, %"]) == ["0 (0–9)", "no schema"]
