"""Where jaxsim keeps files it makes for its own use."""

import os
from pathlib import Path


def cache_directory() -> Path:
    """$JAXSIM_DATA, or else ~/.cache/jaxsim."""
    return Path(os.environ.get("JAXSIM_DATA") or "~/.cache/jaxsim").expanduser()
