"""The core of ftvp: runs candidates fairly, accounts for every attempt, compares honestly, decides.

It knows no Streamlit, and importing it loads no client, no model and no data-frame library.
"""

import logging

# peft imports bitsandbytes, which asks on standard error for one more package: a faster kernel of 4-bit layers on a CPU.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

__version__ = "0.1.0"
