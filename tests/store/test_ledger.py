"""The ledger's writer: what the store can't take reaches whoever waits for it."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path

import pytest

from ftvp_core.errors import RunStopped
from ftvp_core.runs.ledger import Ledger
from ftvp_core.store.ledger import Intent, Outcome, Unit
from ftvp_core.store.opening import open_store
from ftvp_core.types import Usage

NOTHING: dict[str, object] = {"train_set": None, "knowledge": None, "recorded": {}, "versions": {}}


@pytest.mark.parametrize(
    ("usage", "cause"),
    [(Usage(2**80, 0, 1), None), (Usage(1, 0, 1), "half a character \ud83d")],
    ids=["a number too large", "text that is none"],
)
def test_a_value_that_no_column_takes_stops_the_run_at_once(tmp_path: Path, usage: Usage, cause: str | None) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'ftvp.db'}")
    data = store.keep("examples", "e", 0, "{}")
    run_id = store.create_run(name="n", spec="", folder="/", eval_set=data, limit_usd=None, **NOTHING)  # type: ignore[arg-type]
    store.lease(run_id)
    intent = Intent(Unit(0, 0, 0), 1, Decimal(0), time.time())

    async def write() -> list[bool]:
        async with Ledger(store, run_id) as ledger:
            await ledger.write(intent)
            with pytest.raises(RunStopped, match="can't be written"):
                await asyncio.wait_for(ledger.write(Outcome(intent, "answered", usage, cause=cause)), 10)
            return await ledger.write(Outcome(intent, "answered", Usage(1, 0, 1)))

    assert asyncio.run(write()) == [True]  # and the next one is written as ever
