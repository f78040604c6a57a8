"""How a candidate is tuned."""

from typing import Literal, Self

from pydantic import Field, model_validator

from ftvp_core.spec.parts import Part

#: Fewer training rows than this are all trained on, unless `tune.validation` says otherwise.
FEWEST_ROWS_TO_VALIDATE = 100


class TuneSpec(Part):
    """How a model is tuned. `learning_rate` and `validation` have a default that depends on the rest; see `rate` and
    `validation_share`."""

    method: Literal["lora", "qlora", "full"] = "lora"
    rank: int = Field(16, ge=1)
    alpha: int = Field(32, ge=1)
    dropout: float = Field(0.05, ge=0, lt=1)
    target_modules: str | tuple[str, ...] = "all-linear"
    rslora: bool = False
    dora: bool = False
    learning_rate: float | None = Field(None, gt=0)
    scheduler: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(0.03, ge=0, lt=1)  # share of the steps
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    batch_size: int = Field(4, ge=1)
    gradient_accumulation: int = Field(1, ge=1)
    gradient_checkpointing: bool = False
    packing: bool = False
    max_length: int = Field(2048, ge=8)
    epochs: float = Field(3, gt=0)
    max_steps: int | None = Field(None, ge=1)
    save_steps: int = Field(100, ge=1)
    examples: int | None = Field(None, ge=1)
    validation: float | None = Field(None, ge=0, le=0.5)  # share of the rows
    patience: int = Field(2, ge=1)  # evaluations without a better one, of two an epoch
    seed: int = 0
    device: str = "auto"
    force: bool = False
    keep_leaked: bool = False
    teacher: str | None = None  # another candidate: its answers are learned, not the references
    keep: Literal["graders", "agreement", "all"] = "graders"  # which of them
    answers: int = Field(3, ge=2)  # how many of a row have to agree

    @model_validator(mode="after")
    def filters_have_a_teacher(self) -> Self:
        given = [key for key in ("keep", "answers") if getattr(self, key) != type(self).model_fields[key].default]
        if given and self.teacher is None:
            raise ValueError(
                f"found {given[0]}, which chooses among a teacher's answers; name a teacher, or leave it out"
            )
        if "answers" in given and self.keep != "agreement":
            raise ValueError(f"found answers: {self.answers}, which keep: agreement compares; set it, or leave it out")
        return self

    @property
    def rate(self) -> float:
        """The learning rate. An adapter's best one is about ten times full tuning's ("LoRA Without Regret",
        Thinking Machines 2025); 2e-4 is QLoRA's (Dettmers et al. 2023)."""
        return self.learning_rate or (2e-5 if self.method == "full" else 2e-4)

    def validation_share(self, rows: int) -> float:
        """The share held out for early stopping: by default a tenth, and nothing of a small set, whose rows are worth
        more as training rows than as a validation set of a few."""
        return self.validation if self.validation is not None else 0.1 if rows >= FEWEST_ROWS_TO_VALIDATE else 0.0

    @property
    def answers_a_row(self) -> int:
        """How often the teacher is asked about each training row."""
        return self.answers if self.keep == "agreement" else 1
