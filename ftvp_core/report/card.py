"""A tuned model's card: what it comes from, what it was shown to do, and how to serve it."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ftvp_core.report import figures
from ftvp_core.report.load import Report
from ftvp_core.report.sentence import tuned_findings
from ftvp_core.types import ExampleSet, Tuned


def model_card(report: Report, name: str, train_set: ExampleSet | None, *, merged: bool) -> str:
    """README.md of an exported adapter or merged model. Raises KeyError for a candidate that isn't tuned here."""
    candidate = report.spec.by_name(name)
    one = tuned_of(report, name)
    settings = candidate.tune.model_dump(mode="json") if candidate.tune else {}
    head = [
        "---",
        f"base_model: {json.dumps(candidate.model_name, ensure_ascii=False)}",
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
        *(part for title, command in commands(report, name, merged=merged).items() for part in (f"{title}:", "", "```", command, "```", "")),
    ]  # fmt: skip
    return "\n".join([*head, "", *body]).rstrip() + "\n"


def commands(report: Report, name: str, *, merged: bool) -> Mapping[str, str]:
    """By server, the command that serves it from inside its folder."""
    candidate, served = report.spec.by_name(name), file_name(name)
    if merged:
        return {"transformers": "transformers serve .", "vLLM": f"vllm serve . --served-model-name {served}"}
    rank = f" --max-lora-rank {_lora_rank(candidate.tune.rank)}" if candidate.tune else ""
    return {"vLLM": f"vllm serve {shlex.quote(candidate.model_name)} --enable-lora{rank} --lora-modules {served}=."}


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
