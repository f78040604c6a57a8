"""The form of a tuning's settings. Each says where its default comes from."""

import streamlit as st

from ftvp_core.drafts import Keys
from ftvp_core.spec import FEWEST_ROWS_TO_VALIDATE, TuneSpec
from ui.fields import Fields

METHODS = {
    "lora": "LoRA: small adapters beside the frozen model",
    "qlora": "QLoRA: the same, the model held in 4 bits",
    "full": "Full: every weight",
}
SCHEDULES = {"linear": "falls in a line to 0", "cosine": "falls as a cosine to 0", "constant": "stays as it is"}

#: What a setting does, why its default is what it is, and who found that.
WHY = {
    "method": "LoRA does as well as full tuning on sets of the size that people tune on, if its adapters are on all"
    " linear layers (LoRA Without Regret, Thinking Machines 2025). QLoRA needs about a third of the memory and loses"
    " little (Dettmers et al. 2023). Full tuning keeps weights, gradients and two moments of each: about 16 bytes a"
    " parameter.",
    "rank": "How much an adapter can hold. Ranks from 1 to 8 do for single tasks (Hu et al. 2021); 16 leaves room for"
    " thousands of short rows. Raise it when the training loss stays high (LoRA Without Regret, 2025).",
    "alpha": "The adapter's weight is alpha / rank: twice the rank is the common choice, 32 the one that LoRA Without"
    " Regret (2025) holds fixed over ranks.",
    "dropout": "QLoRA (Dettmers et al. 2023) found 0.05 useful for models up to 13 billion parameters.",
    "target_modules": "all-linear, or module names with commas between. Adapters on the attention alone do worse, even"
    " with as many parameters (QLoRA 2023; LoRA Without Regret 2025).",
    "rslora": "Divides by the root of the rank, so that high ranks learn as fast as low ones (Kalajdzievski 2023). Of"
    " use from a rank of about 64.",
    "dora": "Learns a weight's size and its direction apart: often a little better at low ranks, and slower (Liu et al."
    " 2024).",
    "learning_rate": "An adapter's best rate is about ten times full tuning's (LoRA Without Regret, 2025): 2e-4 for LoRA"
    " and QLoRA (Dettmers et al. 2023), 2e-5 for full tuning.",
    "scheduler": "How the rate goes after its warm-up. Falling to 0 in a line is the safest choice at a fixed number of"
    " steps (Straight to Zero, Bergsma et al. 2025).",
    "warmup": "Share of the steps in which the rate rises from 0; 0.03 is that of QLoRA's code (2023).",
    "weight_decay": "Pulls weights towards 0. Adapters are small already: 0, as in QLoRA (2023).",
    "max_grad_norm": "A longer gradient is cut to this length (Pascanu et al. 2013); 1 is transformers' default.",
    "epochs": "How often each row is seen. 3 is transformers' default, and Alpaca's (Taori et al. 2023); early stopping ends"
    " it sooner.",
    "batch_size": "Rows a step. Small batches learn more from a row, and LoRA loses more than full tuning from large ones"
    " (LoRA Without Regret, 2025). Lower it first when memory runs out.",
    "gradient_accumulation": "Steps' worth of rows added up before the weights move: a larger batch without its memory. 1,"
    " as in transformers: small batches learn more from a row (LoRA Without Regret, 2025).",
    "max_length": "Longer rows are refused, never cut: TRL, left to itself, cuts at 1,024 tokens, and with them the"
    " answer's end.",
    "packing": "Lays several rows end to end into one of the greatest length, none of which sees another (Krell et al."
    " 2021). Faster for large sets of short rows; a step then holds many more rows, too many for a small set: off, as in"
    " TRL.",
    "gradient_checkpointing": "Computes again instead of remembering: less memory, about a third slower (Chen et al."
    " 2016).",
    "validation": "Share of the training rows held out, never of the eval set: the weights that do best on them are kept,"
    f" and training ends when they get worse (Prechelt 1998). By default a tenth from {FEWEST_ROWS_TO_VALIDATE} rows on.",
    "patience": "Evaluations (two an epoch) without a better one before it ends: 2 are an epoch. A single one that is worse"
    " may be chance (Prechelt 1998).",
    "examples": "Of a seeded shuffle the first so many rows; empty for all. A smaller number's rows are among a larger"
    " one's.",
    "max_steps": "An end before the epochs' own; empty for none, as in transformers.",
    "save_steps": "A training that is killed goes on from its last checkpoint: at most so many steps are done again."
    " transformers' default is 500, many for small sets.",
    "force": "They are learned by heart.",
}
#: Settings of adapters, which full tuning has none of.
ADAPTERS = ("rank", "alpha", "dropout", "target_modules", "rslora", "dora")


def tune_form(place: str, given: Keys | None) -> Keys:
    """A candidate's `tune`, what equals its default left out. `place` is in the widgets' keys."""
    fields = Fields(place, given, TuneSpec, WHY)
    method = fields.choice(st, "method", "Method", METHODS)
    rank, rate, epochs, batch = st.columns(4)
    if method == "full":
        for name in ADAPTERS:
            fields.put(name, None)
    else:
        fields.number(rank, "rank", "LoRA rank", 1, 1024)
    usual = f"{TuneSpec(method=method).rate:.0e}"
    fields.number(rate, "learning_rate", "Learning rate", 1e-8, 1.0, format="%.1e", placeholder=usual)
    fields.number(epochs, "epochs", "Epochs", 0.1, 1000.0)
    fields.number(batch, "batch_size", "Batch size", 1, 4096)
    with st.expander("More settings"):
        if method != "full":
            _adapters(fields)
        _steps(fields)
        _rows(fields)
    return fields.keys()


def _adapters(fields: Fields) -> None:
    alpha, dropout, modules = st.columns(3)
    fields.number(alpha, "alpha", "Alpha", 1, 4096)
    fields.number(dropout, "dropout", "Dropout", 0.0, 0.9)
    named = fields.given.target_modules
    shown = named if isinstance(named, str) else ", ".join(named)
    typed = fields.text(modules, "target_modules", "Adapters on", shown)
    several = [name.strip() for name in typed.split(",") if name.strip()]
    fields.put("target_modules", several if len(several) > 1 else typed or None)
    rslora, dora = st.columns(2)
    fields.tick(rslora, "rslora", "Rank-stabilised")
    fields.tick(dora, "dora", "DoRA")


def _steps(fields: Fields) -> None:
    scheduler, warmup, decay, norm = st.columns(4)
    accumulation, steps, save, checkpointing = st.columns(4)
    fields.choice(scheduler, "scheduler", "Rate over time", SCHEDULES)
    fields.number(warmup, "warmup", "Warm-up", 0.0, 0.99)
    fields.number(decay, "weight_decay", "Weight decay", 0.0, 10.0)
    fields.number(norm, "max_grad_norm", "Longest gradient", 0.01, 1000.0)
    fields.number(accumulation, "gradient_accumulation", "Gradient accumulation", 1, 4096)
    fields.number(steps, "max_steps", "At most, in steps", 1)
    fields.number(save, "save_steps", "Checkpoint every", 1)
    fields.tick(checkpointing, "gradient_checkpointing", "Gradient checkpointing")


def _rows(fields: Fields) -> None:
    examples, validation, patience = st.columns(3)
    length, packing, force = st.columns(3)
    fields.number(examples, "examples", "At most, in rows", 1)
    fields.number(validation, "validation", "Held out", 0.0, 0.5, step=0.05, placeholder="a tenth")
    fields.number(patience, "patience", "Patience", 1, 1000)
    fields.number(length, "max_length", "Longest row, in tokens", 8)
    fields.tick(packing, "packing", "Packing")
    fields.tick(force, "force", "Also with under 10 rows")
