"""A tuned model's card: what it comes from, what it was shown to do, and how to serve it."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ftvp_core.report import figures
from ftvp_core.report.load import Report
from ftvp_core.report.sentence import tuned_findings
from ftvp_core.types import ExampleSet, Tuned

#: Where a folder lies on a machine that isn't known.
SOMEWHERE = "path/to/"


def model_card(report: Report, name: str, train_set: ExampleSet | None, base: str, *, merged: bool) -> str:
    """README.md of an exported adapter or merged model, for any machine: `base` is what `anywhere` makes of one.

    Raises KeyError for a candidate that isn't tuned here.
    """
    candidate = report.spec.by_name(name)
    one = tuned_of(report, name)
    settings = candidate.tune.model_dump(mode="json") if candidate.tune else {}
    head = [
        "---",
        f"base_model: {json.dumps(base, ensure_ascii=False)}",
        f"library_name: {'transformers' if merged else 'peft'}",
        "pipeline_tag: text-generation",
        "license:  # yours to say; the base model's own licence holds too",
        "---",
    ]
    sets = [f"- Evaluated on: {_set(report.eval_set)}"]
    if train_set is not None:
        sets.insert(0, f"- Trained on: {_set(train_set)}; {one.rows if one.rows is not None else 'unknown'} rows of it")
    body = [
        f"# {name}",
        "",
        f"{'The base with its adapter merged' if merged else 'An adapter'} for `{candidate.model_name}`, made and measured"
        f" with ftvp in run {report.run.id} ({report.spec.name}).",
        "",
        "## Data",
        "",
        *sets,
        "",
        "## What it was shown to do",
        "",
        *_results(report, name),
        "",
        "## Training",
        "",
        f"- Adapter: {one.adapter or 'unknown'}",
        f"- Device: {one.device or 'unknown'}; {figures.duration(one.seconds)}; best step: {one.best_step if one.best_step is not None else 'the last'}",
        *(f"- {key}: {value}" for key, value in settings.items()),
        *(f"- {library}: {version}" for library, version in report.run.versions.items()),
        "",
        "## Prompt",
        "",
        "It was trained and measured with this prompt; another one is another model.",
        "",
        "```json",
        json.dumps(candidate.prompt.model_dump(mode="json", exclude_none=True), ensure_ascii=False, indent=1),
        "```",
        "",
        "## Serving",
        "",
        *([] if merged or not base.startswith(SOMEWHERE) else [f"From inside this folder, with the base's folder in place of `{base}`.", ""]),
        *(
            part
            for server, one in servings(report, name, base, merged=merged).items()
            for part in (f"{server}; a request names the model `{one.model}`:", "", "```", one.command, "```", "")
        ),
    ]  # fmt: skip
    return "\n".join([*head, "", *body]).rstrip() + "\n"


def anywhere(base: str) -> str:
    """A base as a file names it that leaves this machine: a hub name is what it is, a folder may lie elsewhere there."""
    return f"{SOMEWHERE}{Path(base).name}" if Path(base).is_absolute() else base


class Serving(NamedTuple):
    """A command that serves a model from inside its folder, and the `model` that a request to that server names."""

    command: str
    model: str


def servings(report: Report, name: str, base: str, *, merged: bool) -> Mapping[str, Serving]:
    """By server; an adapter's finds its base by `base`."""
    candidate, served = report.spec.by_name(name), file_name(name)
    if merged:
        return {
            "transformers": Serving("transformers serve .", "."),
            "vLLM": Serving(f"vllm serve . --served-model-name {served}", served),
        }
    rank = f" --max-lora-rank {_lora_rank(candidate.tune.rank)}" if candidate.tune else ""
    command = f"vllm serve {shlex.quote(base)} --enable-lora{rank} --lora-modules {served}=."
    return {"vLLM": Serving(command, served)}


def tuned_of(report: Report, name: str) -> Tuned:
    """Raises KeyError."""
    for one in report.comparison.tunes:
        if one.candidate == name:
            return one
    raise KeyError(name)


def file_name(name: str) -> str:
    """A candidate's name as a file's and as a model's: letters of any script, digits, dashes."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "tuned"


def _lora_rank(rank: int) -> int:
    """vLLM takes these alone."""
    return next((one for one in (8, 16, 32, 64, 128, 256, 320, 512) if one >= rank), rank)


def _results(report: Report, name: str) -> list[str]:
    alone = replace(report.comparison, tunes=(tuned_of(report, name),))
    return [f"- {one}" for one in tuned_findings(alone)] or ["- Nothing: its base isn't among the run's candidates."]


def _set(examples: ExampleSet) -> str:
    return f"{Path(examples.name).name}, sha256 {examples.sha256}, {len(examples.examples):,} rows"
