"""The core of ftvp: runs candidates fairly, accounts for every attempt, compares honestly, decides.

It knows no Streamlit, and importing it loads no client, no model and no data-frame library.
"""

__version__ = "0.1.0"
