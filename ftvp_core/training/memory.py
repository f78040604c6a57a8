"""The memory that a training takes: of the GPU, or of its own process."""

import sys
from contextlib import suppress
from pathlib import Path


def reset_peak() -> None:
    """Begin to measure the peak anew: an earlier training in this process doesn't count."""
    import torch

    if torch.cuda.is_available():
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
