"""Figures as people say them: `71 % (66–76)`, `$0.41`, `0.32 s`, `1.2 k`. Three significant digits at most."""

from collections.abc import Mapping
from decimal import Decimal

from ftvp_core.types import CandidateFigures, Interval, JsonMode, Quantiles, Spread

UNKNOWN = "–"
#: Shorter times are told in milliseconds.
SHORT_S = 0.01


def percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{100 * value:.0f} %"


def accuracy(one: CandidateFigures) -> str:
    return with_interval(one.accuracy, one.interval)


def valid_output(one: CandidateFigures) -> str:
    held = one.valid_output
    return with_interval(held.value, held.interval) if held else "no schema"


def with_interval(value: float | None, interval: Interval | None) -> str:
    if value is None or interval is None:
        return UNKNOWN
    return f"{100 * value:.0f} % ({100 * interval.low:.0f}–{100 * interval.high:.0f})"


def json_mode(modes: Mapping[JsonMode, int]) -> str:
    """How answers came to be JSON: `native`; `prompted with repair (12 of 400 sent back)`."""
    said = [(modes.get("native", 0), "native"), (modes.get("constrained", 0), "constrained while it is generated")]
    prompted, repaired = modes.get("prompted", 0), modes.get("repaired", 0)
    asked = prompted + repaired
    said.append((asked, f"prompted with repair ({repaired:,} of {asked:,} sent back)"))
    said = [(count, words) for count, words in said if count]
    if len(said) < 2:
        return "".join(words for _, words in said)
    return ", then ".join(f"{count:,} {words}" for count, words in said)


def points(value: float | None, interval: Interval | None = None) -> str:
    if value is None:
        return UNKNOWN
    said = f"{round(100 * value):+d}".replace("-", "−")  # whole numbers have no −0
    return said if interval is None else f"{said} ({ends(interval, decimals=0)})"


def ends(interval: Interval, decimals: int = 1) -> str:
    """An interval of points: `−1.0 to 4.2`. What rounds to 0 has no sign."""
    low, high = (f"{round(100 * end, decimals) + 0.0:.{decimals}f}" for end in (interval.low, interval.high))
    return f"{low} to {high}".replace("-", "−")


def spread(found: Spread | None) -> str | None:
    """`68–72 % (SD 1.6 points), 8 % of examples flip`."""
    if found is None:
        return None
    sd = f" (SD {100 * found.sd:.1f} points)" if found.sd is not None else ""
    flips = f", {percent(found.flipped)} of examples flip" if found.flipped is not None else ""
    return f"{100 * found.min:.0f}–{100 * found.max:.0f} %{sd}{flips}"


def dollars(value: Decimal | float | None) -> str:
    if value is None:
        return UNKNOWN
    amount = float(value)
    if amount >= 1000:
        return f"${amount:,.0f}"
    return f"${amount:.2f}" if amount >= 0.1 or amount == 0 else f"${_significant(amount)}"


def dollar_range(low: Decimal | None, high: Decimal | None) -> str:
    """`$0.20–$1.40`; one figure where both read the same."""
    if low is None or high is None or dollars(low) == dollars(high):
        return dollars(high)
    return f"{dollars(low)}–{dollars(high)}"


def seconds(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{_significant(value * 1000)} ms" if value < SHORT_S else f"{_significant(value)} s"


def latency(found: Quantiles, *, named: bool = False) -> str:
    """`0.32 s (p95 0.51 s)`, or `p50 0.32 s, p95 0.51 s`: both in the first one's unit."""
    scale, unit = (1000, "ms") if found.p50 < SHORT_S else (1, "s")
    p50, p95 = (f"{_significant(value * scale)} {unit}" for value in (found.p50, found.p95))
    return f"p50 {p50}, p95 {p95}" if named else f"{p50} (p95 {p95})"


def duration(value: float | None) -> str:
    """Seconds as people say a length of time: `40 s`, `12 min`, `3.5 h`."""
    if value is None:
        return UNKNOWN
    if value < 90:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 5400 else f"{_significant(value / 3600)} h"


def count(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{_significant(value / size)}{unit}"
    return f"{value:.0f}"


def size(value: float | None) -> str:
    """Bytes as people say them: `640 MB`, `1.2 GB`."""
    if value is None:
        return UNKNOWN
    return f"{_significant(value / 1e9)} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def training(
    expected_s: float | None,
    memory_bytes: float | None,
    device: str | None,
    cost_usd: Decimal | None,
    rows: int | None,
    validation_rows: int | None,
) -> str:
    """What a training will take, as it was measured."""
    cost = dollars(cost_usd) if cost_usd is not None else "cost unknown: no price of the machine's hour"
    held_out = f", {validation_rows:,} held out for early stopping" if validation_rows else ""
    where = "the CPU" if device == "cpu" else "the GPU"
    return f"about {duration(expected_s)} on {where}, {size(memory_bytes)} of memory, {cost}; {rows:,} rows{held_out}"


def _significant(value: float) -> str:
    """Two or three significant digits, never in scientific notation."""
    if value >= 100:
        return f"{value:.0f}"
    digits = f"{value:.2g}" if value < 10 else f"{value:.3g}"
    return digits if "e" not in digits else f"{Decimal(digits):f}"
