"""A Report as JSON and CSV (the contract's keys), and as the command line's table."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields, is_dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

from ftvp_core.errors import UserError
from ftvp_core.report import figures
from ftvp_core.report.load import Report
from ftvp_core.store.store import Store
from ftvp_core.types import (
    BeforeAfter,
    CandidateFigures,
    Comparison,
    Distillation,
    Interval,
    PairFigures,
    Slice,
    Tuned,
)

EXAMPLE_COLUMNS = (
    "id", "candidate", "input", "reference", "output", "grade", "latency_s", "input_tokens", "output_tokens",
    "cost_usd", "error",
)  # fmt: skip
#: A spreadsheet takes a cell that begins with one of these for a formula (OWASP, CSV Injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_json(report: Report) -> str:
    """The contract's report: JSON numbers, unrounded."""
    decision = asdict(report.decision)
    for even in decision["break_even"]:
        even["interval"] = _bounds(even["interval"])
    loaded = {
        "name": report.spec.name,
        "run_id": report.run.id,
        "state": report_state(report.run.state),
        "eval_set": {"sha256": report.eval_set.sha256, "n": len(report.eval_set.examples)},
        "candidates": [_candidate(one) for one in report.comparison.candidates],
        "slices": [_slice(one) for one in report.comparison.slices],
        "curves": [
            {
                "candidate": curve.candidate,
                "over": curve.over,
                "points": [
                    {"value": point.value, **_point(point.figures), "by_seed": list(point.by_seed)}
                    for point in curve.points
                ],
                "fit": _plain(curve.fit),
                "beside_floor": [_plain(one) for one in curve.beside_floor],
                "best": curve.best,
                "corrected": _plain(curve.corrected),
            }
            for curve in report.comparison.curves
        ],
        "load": [asdict(one) for one in report.comparison.load],
        "pairs": [_pair(one) for one in report.comparison.pairs],
        "tunes": [_tuned(one) for one in report.comparison.tunes],
        "distillations": [_distillation(one) for one in report.comparison.distillations],
        "decision": decision,
    }
    return json.dumps(loaded, ensure_ascii=False, indent=1, default=_number) + "\n"


def report_state(state: str) -> str:
    """A run's state in the report's three words."""
    return state if state in {"done", "failed"} else "partial"


def example_rows(report: Report, store: Store) -> Iterator[tuple[str, ...]]:
    """One row an example and candidate (and repeat), header first; what wasn't run says so in `error`.

    A column `valid_output` (true, false, empty) is added where a candidate has an output schema.
    """
    has_schema = any(one.output_schema is not None for one in report.spec.candidates)
    yield (*EXAMPLE_COLUMNS, *(("valid_output",) if has_schema else ()))
    for arm, candidate in enumerate(report.spec.candidates):
        results = store.results(report.run.id, arm=arm)  # in the order that is asked for here
        coming = next(results, None)
        for position, example in enumerate(report.eval_set.examples):
            for repeat in range(report.spec.run.repeats):
                head = (example.id, candidate.name, example.input, " | ".join(example.references))
                row = coming
                if row is None or (row.example, row.repeat) != (position, repeat):
                    cause = f"not run: {report.run.cause or report.run.state}"
                    yield (*head, *[""] * 6, cause, *([""] if has_schema else []))
                    continue
                coming = next(results, None)
                numbers = (row.grade, row.latency_s, row.input_tokens, row.output_tokens, row.request_usd)
                valid = ("" if row.valid is None else str(row.valid).lower(),) if has_schema else ()
                yield (*head, row.output or "", *map(_cell, numbers), row.error or row.ungraded or "", *valid)


def candidate_rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """One row a candidate, header first, in the report's keys with a dot for what is inside."""
    rows = [dict(_flat(_candidate(one))) for one in comparison.candidates]
    yield tuple(rows[0])
    for row in rows:
        yield tuple(_cell(value) for value in row.values())


def write_csv(rows: Iterable[Sequence[str]], to: TextIO) -> None:
    """Formulas neutralised with an apostrophe; numbers, minus sign and all, stay numbers."""
    writer = csv.writer(to, lineterminator="\n")
    for row in rows:
        writer.writerow([f"'{cell}" if cell.startswith(FORMULA) and not _is_number(cell) else cell for cell in row])


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    write_csv(rows, text)
    return text.getvalue()


def save(path: Path, text: str) -> None:
    """Write a report whole or not at all. Raises UserError."""
    is_device = path.exists() and not path.is_file()  # /dev/stdout or a pipe: it is written to, not replaced
    part = path if is_device else path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
        if not is_device:
            part.replace(path)
    except OSError as error:
        raise UserError(str(path), f"can't be written ({error.strerror})", "name another file") from None


def table(report: Report) -> str:
    """The comparison for a terminal."""
    from tabulate import tabulate

    chosen = report.decision.choose
    has_schema = any(one.valid_output is not None for one in report.comparison.candidates)
    rows = [
        (
            f"{'→ ' if one.name == chosen else '  '}{one.name}", one.method, figures.accuracy(one),
            _batch_or(one, figures.seconds(one.latency_s.p50 if one.latency_s else None)),
            figures.seconds(one.latency_s.p95 if one.latency_s else None),
            figures.dollars(one.cost_per_1k_usd), one.attempts, one.n_failed, one.n_ungraded,
            *((figures.valid_output(one),) if has_schema else ()),
        )
        for one in report.comparison.candidates
    ]  # fmt: skip
    headers = [
        "candidate", "method", "accuracy (95 %)", "p50", "p95", "per 1,000", "attempts", "failed", "ungraded",
        *(["valid output"] if has_schema else []),
    ]  # fmt: skip
    right = ("left", "left", *("right",) * (len(headers) - 2))
    text: str = tabulate(
        rows, headers, colalign=right, disable_numparse=True, tablefmt="simple", preserve_whitespace=True
    )
    return text


def _batch_or(one: CandidateFigures, said: str) -> str:
    return "batch" if one.batch and one.latency_s is None else said


def _candidate(one: CandidateFigures) -> dict[str, Any]:
    keys = asdict(one)
    del keys["failures"]
    measures = (keys["retrieval"] or {}).values()
    for measured in measures:
        measured["interval"] = _bounds(measured["interval"])
    if keys["valid_output"] is not None:
        keys["valid_output"]["interval"] = _bounds(keys["valid_output"]["interval"])
    return {**keys, "interval": _bounds(one.interval)}


def _pair(one: PairFigures) -> dict[str, Any]:
    keys = asdict(one)
    del keys["a_only"], keys["b_only"]
    return {**keys, "interval": _bounds(one.interval)}


def _distillation(one: Distillation) -> dict[str, Any]:
    keys = asdict(one)
    if one.retained is not None:
        keys["retained"] = {"value": one.retained.value, "interval": _bounds(one.retained.interval)}
    return keys


def _slice(one: Slice) -> dict[str, Any]:
    return {
        "tag": one.tag,
        "candidates": [_candidate(each) for each in one.candidates],
        "pairs": [_pair(each) for each in one.pairs],
    }


def _point(one: CandidateFigures) -> dict[str, Any]:
    keys = _candidate(one)
    return {key: keys[key] for key in ("accuracy", "interval", "latency_s", "tokens", "cost_per_1k_usd")}


def _tuned(one: Tuned) -> dict[str, Any]:
    """Its pair's figures stand beside its name, null where its base isn't in the file."""
    keys: dict[str, Any] = _plain(one)
    change = keys.pop("change") or dict.fromkeys(field.name for field in fields(BeforeAfter))
    return {"candidate": keys.pop("candidate"), "base": keys.pop("base"), **change, "advice": one.advice, **keys}


def _plain(value: Any) -> Any:
    """Dataclasses and named tuples as keys, intervals as two bounds."""
    if isinstance(value, Interval):
        return _bounds(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def _bounds(interval: Interval | dict[str, float] | None) -> list[float] | None:
    if interval is None:
        return None
    return [interval["low"], interval["high"]] if isinstance(interval, dict) else [interval.low, interval.high]


def _flat(keys: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    parts = {
        "interval": ("low", "high"),
        "latency_s": ("p50", "p95", "p99"),
        "ttft_s": ("p50", "p95"),
        "valid_output": ("value", "interval", "n"),
    }
    for key, value in keys.items():
        if key in {"retrieval", "spread", "modes"}:  # the JSON report has them
            continue
        if key in parts or isinstance(value, dict):
            inside = (
                dict(zip(parts[key], value, strict=True))
                if isinstance(value, list)
                else value or dict.fromkeys(parts[key])
            )
            yield from _flat({one: inside.get(one) for one in parts.get(key, inside)}, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _number(value: Any) -> float:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
