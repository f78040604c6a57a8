"""The memory that a training takes, of the GPU or of its own process, and what there is to do where it is short."""

import gc
import sys
from contextlib import suppress
from pathlib import Path

from ftvp_core.errors import RunStopped
from ftvp_core.spec import TuneSpec


def does_not_fit(where: str, tune: TuneSpec, what: str = "training doesn't fit in this machine's memory") -> RunStopped:
    """Says which setting to lower first."""
    if tune.batch_size > 1:
        lower = f"lower tune.batch_size ({tune.batch_size}); tune.gradient_accumulation keeps a step's rows the same"
    elif not tune.gradient_checkpointing:
        lower = "set tune.gradient_checkpointing: true"
    else:
        return model_does_not_fit(where, tune, what)
    return RunStopped(f"{where}: {what}; {lower}")


def model_does_not_fit(
    where: str, tune: TuneSpec, what: str = "the model doesn't fit in this machine's memory"
) -> RunStopped:
    """The same where no row is the cause."""
    lower = (
        f"set tune.method: qlora instead of {tune.method}, or"
        if tune.method != "qlora"
        else "leave the longest rows out, or"
    )
    return RunStopped(f"{where}: {what}; {lower} take a smaller model")


def reset_peak() -> None:
    """Begin to measure the peak anew: an earlier training in this process doesn't count."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()  # what is reserved counts, needed or not
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux


def peak_bytes(on_gpu: bool) -> int:
    """The most memory that was held since `reset_peak`: of the GPU, or of this process."""
    if on_gpu:
        import torch

        return int(torch.cuda.max_memory_reserved())
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
