"""Would more rows help, and does the floor win? FTVP_TEST_DATA=FOLDER nice python -m tests.bench.learning [--tune]

BANKING77 at 5, 10, 25 and all rows of each of its 77 labels, 400 eval rows: the linear SVM, and with `--tune` a LoRA on
the demo's base on the very same rows (one epoch; hours on a busy machine). Prints what Compare shows.
"""

import argparse
import os
import tempfile
from pathlib import Path

import yaml

from ftvp_core.__main__ import main as command
from ftvp_core.data.checks import without_leaks
from ftvp_core.data.examples import to_examples
from ftvp_core.data.rows import read_table
from ftvp_core.report import figures
from ftvp_core.report.curves import curve_findings
from ftvp_core.report.load import load_report
from ftvp_core.spec import TrainSetSpec
from ftvp_core.store.opening import open_store

LABELS = 77
ROWS_A_LABEL = (5, 10, 25)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tune", action="store_true")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--limit", type=int, default=400)
    asked = options.parse_args()
    data = Path(os.environ["FTVP_TEST_DATA"]) / "banking77"
    sets = [to_examples(read_table(data / name), TrainSetSpec(path=name)) for name in ("train.csv", "test.csv")]
    rows = len(without_leaks(*sets))
    values = [*(n * LABELS for n in ROWS_A_LABEL), rows]
    seeds = list(range(asked.seeds))
    svm = {"name": "linear SVM", "floor": "tfidf-svm"}
    tune = {"learning_rate": 1e-3, "rank": 32, "alpha": 64, "dropout": 0.0, "epochs": 1}
    lora = {
        "name": "LoRA",
        "model": "local/demo",
        "tune": {**tune, "examples": values[0]},
        "sampling": {"max_tokens": 24},
    }
    sweeps = [{"candidate": "linear SVM", "over": "train.rows", "values": values, "seeds": seeds}]
    if asked.tune:
        sweeps.insert(0, {"candidate": "LoRA", "over": "tune.examples", "values": values, "seeds": seeds})
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FTVP_HOME"] = folder
        file = Path(folder) / "c.yaml"
        keys = {
            "eval_set": {"path": str(data / "test.csv"), "limit": asked.limit},
            "train_set": {"path": str(data / "train.csv")},
            "candidates": [svm, *([lora] if asked.tune else [])],
            "sweeps": sweeps,
        }
        file.write_text(yaml.safe_dump(keys))
        command(["run", str(file)])
        store = open_store()
        comparison = load_report(store, store.runs()[0].id).comparison
    for curve in comparison.curves:
        for point in curve.points:
            each = ", ".join(figures.percent(one) for one in point.by_seed)
            print(f"{curve.candidate:12}{point.value:8,.0f} rows  {figures.accuracy(point.figures):16}seeds {each}")
        print("\n".join(curve_findings(curve)))


if __name__ == "__main__":
    main()
