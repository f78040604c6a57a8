"""The machine and the libraries that a run was made with."""

import platform
from importlib.metadata import PackageNotFoundError, version

from ftvp_core import __version__

#: Libraries whose version can change an answer or a cost.
LIBRARIES = ("aiohttp", "genai-prices", "scikit-learn", "torch", "transformers", "peft", "chromadb")


def versions() -> dict[str, str]:
    """By name; a library that isn't installed is left out."""
    found = {"ftvp": __version__, "python": platform.python_version(), "machine": platform.platform()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
