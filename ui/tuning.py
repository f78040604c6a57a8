"""The form of a tuning's settings. Each says where its default comes from."""

from typing import Any

import streamlit as st

from ftvp_core.drafts import Keys
from ftvp_core.spec import FEWEST_ROWS_TO_VALIDATE, TuneSpec

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
}


def tune_form() -> Keys:
    """A candidate's `tune`, what equals its default left out."""
    default = TuneSpec()
    method = st.selectbox("Method", list(METHODS), format_func=METHODS.__getitem__, help=WHY["method"])
    rank, rate, epochs, batch = st.columns(4)
    chosen: dict[str, Any] = {"method": method}
    if method != "full":
        chosen["rank"] = int(rank.number_input("LoRA rank", 1, 1024, default.rank, help=WHY["rank"]))
    chosen["learning_rate"] = rate.number_input(
        "Learning rate",
        min_value=1e-8,
        max_value=1.0,
        value=None,
        format="%.1e",
        placeholder=f"{TuneSpec(method=method).rate:.0e}",
        help=WHY["learning_rate"],
    )
    chosen["epochs"] = float(epochs.number_input("Epochs", 0.1, 1000.0, float(default.epochs), help=WHY["epochs"]))
    chosen["batch_size"] = int(batch.number_input("Batch size", 1, 4096, default.batch_size, help=WHY["batch_size"]))
    with st.expander("More settings"):
        if method != "full":
            chosen |= _adapters(default)
        chosen |= _steps(default) | _rows(default)
    given = {key: value for key, value in chosen.items() if value is not None}
    return {key: value for key, value in given.items() if value != getattr(default, key)}


def _adapters(default: TuneSpec) -> Keys:
    alpha, dropout, modules = st.columns(3)
    named = modules.text_input("Adapters on", "all-linear", help=WHY["target_modules"])
    several = [name.strip() for name in named.split(",") if name.strip()]
    rslora, dora = st.columns(2)
    return {
        "alpha": int(alpha.number_input("Alpha", 1, 4096, default.alpha, help=WHY["alpha"])),
        "dropout": dropout.number_input("Dropout", 0.0, 0.9, default.dropout, help=WHY["dropout"]),
        "target_modules": several if len(several) > 1 else named.strip() or default.target_modules,
        "rslora": rslora.checkbox("Rank-stabilised", default.rslora, help=WHY["rslora"]),
        "dora": dora.checkbox("DoRA", default.dora, help=WHY["dora"]),
    }


def _steps(default: TuneSpec) -> Keys:
    scheduler, warmup, decay, norm = st.columns(4)
    accumulation, steps, save, checkpointing = st.columns(4)
    return {
        "scheduler": scheduler.selectbox(
            "Rate over time", list(SCHEDULES), format_func=SCHEDULES.__getitem__, help=WHY["scheduler"]
        ),
        "warmup": warmup.number_input("Warm-up", 0.0, 0.99, default.warmup, help=WHY["warmup"]),
        "weight_decay": decay.number_input("Weight decay", 0.0, 10.0, default.weight_decay, help=WHY["weight_decay"]),
        "max_grad_norm": norm.number_input(
            "Longest gradient", 0.01, 1000.0, default.max_grad_norm, help=WHY["max_grad_norm"]
        ),
        "gradient_accumulation": int(
            accumulation.number_input(
                "Gradient accumulation", 1, 4096, default.gradient_accumulation, help=WHY["gradient_accumulation"]
            )
        ),
        "max_steps": steps.number_input("At most, in steps", 1, value=None, help=WHY["max_steps"]),
        "save_steps": int(save.number_input("Checkpoint every", 1, value=default.save_steps, help=WHY["save_steps"])),
        "gradient_checkpointing": checkpointing.checkbox(
            "Gradient checkpointing", default.gradient_checkpointing, help=WHY["gradient_checkpointing"]
        ),
    }


def _rows(default: TuneSpec) -> Keys:
    examples, validation, patience = st.columns(3)
    length, packing, force = st.columns(3)
    return {
        "examples": examples.number_input("At most, in rows", 1, value=None, help=WHY["examples"]),
        "validation": validation.number_input(
            "Held out", 0.0, 0.5, value=None, step=0.05, placeholder="a tenth", help=WHY["validation"]
        ),
        "patience": int(patience.number_input("Patience", 1, 1000, default.patience, help=WHY["patience"])),
        "max_length": int(
            length.number_input("Longest row, in tokens", 8, value=default.max_length, help=WHY["max_length"])
        ),
        "packing": packing.checkbox("Packing", default.packing, help=WHY["packing"]),
        "force": force.checkbox("Also with under 10 rows", default.force, help="They are learned by heart."),
    }
