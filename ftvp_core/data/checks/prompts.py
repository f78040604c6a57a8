"""The prompts that rows bring along: their system prompts, and whether they fit into a model."""

from collections import Counter
from collections.abc import Iterator, Sequence

from ftvp_core.data.checks.common import Checked, Part, asked, finding, folded, rows_of, shown, whose
from ftvp_core.tokens import ESTIMATE
from ftvp_core.types import Example, ExampleSet, Finding

#: Tokens that are absurd for one row, whatever the model.
ABSURD = 100_000


def system_prompt(checked: Checked) -> Iterator[Finding]:
    """One finding for all of it: a model answers as it was tuned only under the prompt that it was tuned with."""
    systems = {part: _systems(examples) for part, examples in checked.parts()}
    usual = {part: Counter(texts).most_common(1)[0][0] if texts else "" for part, texts in systems.items()}
    odd = {
        part: [row for row, text in enumerate(texts, start=1) if text != usual[part]] for part, texts in systems.items()
    }
    said = [said for part, texts in systems.items() if (said := _several(part, texts, len(odd[part])))]
    if checked.train_set is not None and all(usual.values()) and usual["eval"] != usual["train"]:
        said.append("the eval set's and the training set's differ")
    others = _other_candidates(checked, usual.get("train") or usual["eval"])
    if others:
        said.append(f"another one than {', '.join(others)} will send")
    if not said:
        return
    part: Part = "eval" if odd["eval"] or not odd.get("train") else "train"
    rows = tuple(odd[part])
    message = (
        f"System prompts: {'; '.join(said)}. A tuned model needs the prompt that it was tuned with: use one everywhere."
    )
    yield Finding("system-prompt", "warning", len(rows), rows, message, part)


def too_long(checked: Checked) -> Iterator[Finding]:
    """A token is at least a byte, so that short rows needn't be counted."""
    window = checked.window or ABSURD
    for part, examples in checked.parts():
        sizes = {
            row: ESTIMATE.count(text)
            for row, text in ((row, _all_text(one)) for row, one in rows_of(examples))
            if 4 * len(text) > window and len(text.encode()) > window
        }
        rows = [row for row, size in sizes.items() if size > window]
        longest = max((sizes[row] for row in rows), default=0)
        against = (
            f"the window of {window:,} tokens" if checked.window else f"{ABSURD:,} tokens, more than most models take"
        )
        yield from finding(
            "too-long", "warning", rows,
            f"{whose(part)} longer than {against}: {{n}}, up to {longest:,} tokens ({ESTIMATE.method}). They are cut or refused. Shorten or drop them.",
            part,
        )  # fmt: skip


def _systems(examples: ExampleSet) -> list[str]:
    """Each row's, folded: few are distinct."""
    texts = [one.system or "" for one in examples.examples]
    forms = {text: folded(text) for text in set(texts)}
    return [forms[text] for text in texts]


def _several(part: Part, systems: Sequence[str], odd: int) -> str:
    distinct = set(systems)
    if len(distinct) < 2:
        return ""
    name = "the eval set" if part == "eval" else "the training set"
    missing = systems.count("")
    without = f", {missing:,} rows have none" if missing else ""
    return f"{name} has {len(distinct - {''}):,} ({odd:,} rows have another than most{without})"


def _other_candidates(checked: Checked, usual: str) -> list[str]:
    """Candidates whose system prompt is another than the rows'; one with a column in it can't be compared."""
    if not usual:
        return []
    systems = (checked.systems or {}).items()
    return [shown(name) for name, text in systems if text and "{" not in text and folded(text) != usual]


def _all_text(example: Example) -> str:
    """What stands in a model's window for this row; of several references the longest."""
    return "\n".join([example.system or "", asked(example), max(example.references, key=len, default="")])
