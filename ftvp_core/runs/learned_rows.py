"""Which training rows a tuned arm, a floor or a student learns from, and whether they are enough."""

from collections.abc import Sequence

from ftvp_core.candidates.prompt import check_same_system
from ftvp_core.data.checks import labels_of, without_leaks
from ftvp_core.data.examples import nested
from ftvp_core.errors import UserError
from ftvp_core.runs.arms import Plan, Sources
from ftvp_core.spec import Candidate, TrainRows, TuneSpec
from ftvp_core.types import Example, ExampleSet

#: Fewer rows than this are refused for training (unless forced): they are learned by heart. Fewer than the second
#: are warned of.
FEWEST_TUNING_ROWS, FEW_TUNING_ROWS = 10, 50


def check_training_rows(candidate: Candidate, where: str, sources: Sources) -> None:
    """Enough to learn from, before anything is trained."""
    if sources.train_set is None:
        return
    if candidate.floor:
        rows = floor_rows(candidate.train, sources.train_set, sources.eval_set)
        labels = {example.references[0] for example in rows if example.references}
        if len(labels) < 2:
            raise UserError(where, f"a floor needs training rows of two labels or more; found {len(labels)}")
    if candidate.tune:
        learned = tuning_rows(candidate.tune, sources.train_set, sources.eval_set)
        check_same_system(candidate, where, learned, sources.eval_set)
        if len(learned) < FEWEST_TUNING_ROWS and not candidate.tune.force:
            able = "aren't" if candidate.tune.teacher else "have a reference and aren't"
            raise UserError(
                where,
                f"found {len(learned)} rows to train on that {able} in the eval set; expected {FEWEST_TUNING_ROWS}",
                "10 rows are learned by heart: add rows, or set tune.force",
            )


def tuning_rows(tune: TuneSpec, train_set: ExampleSet, eval_set: ExampleSet) -> list[Example]:
    """What a candidate is trained on, in a seeded order: `examples` of them are `nested`.

    Rows that stand in the eval set are left out, unless `keep_leaked`. With a teacher they need no reference.
    """
    rows = train_set.examples if tune.keep_leaked else without_leaks(train_set, eval_set)
    able = [example for example in rows if example.references or tune.teacher]
    return nested(able, tune.examples, tune.seed, by_label=labels_of(train_set) is not None)


def floor_rows(train: TrainRows, train_set: ExampleSet, eval_set: ExampleSet) -> Sequence[Example]:
    """What a floor learns from: all rows as they stand, or those that a tune of so many examples has."""
    if train.rows is None:
        return train_set.examples
    able = [example for example in without_leaks(train_set, eval_set) if example.references]
    return nested(able, train.rows, train.seed, by_label=labels_of(train_set) is not None)


def rows_to_label(students: Sequence[Candidate], train_set: ExampleSet, eval_set: ExampleSet) -> tuple[Example, ...]:
    """All rows that some students train on, in the training set's order."""
    wanted = {row.id for one in students if one.tune for row in tuning_rows(one.tune, train_set, eval_set)}
    return tuple(row for row in train_set.examples if row.id in wanted)


def few_rows(plan: Plan) -> list[str]:
    """What there is to say of arms that are tuned on few rows."""
    said = []
    for arm in plan.arms:
        if arm.candidate.tune is None or arm.is_side or plan.sources.train_set is None:
            continue
        rows = len(tuning_rows(arm.candidate.tune, plan.sources.train_set, plan.sources.eval_set))
        if rows < FEW_TUNING_ROWS:
            said.append(
                f"{arm.candidate.name} is tuned on {rows} rows: fewer than {FEW_TUNING_ROWS} are a start at best, and"
                " are easily learned by heart"
            )
    return said
