"""Reads untrusted `.npz` archives, in which anything may be wrong. Needs NumPy alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.errors import first_line


def opened(path: str | Path, what: str) -> np.lib.npyio.NpzFile:
    """Opens an archive; nothing in it is unpickled.

    Args:
      path: of the file.
      what: what the archive should be, for the message.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not an `.npz` archive.
    """
    try:
        file = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # NumPy, zipfile and zlib share no error class
        raise ValueError(f"{path}: not {what} ({first_line(error)})") from None
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise ValueError(f"{path}: not {what} (one array, expected an .npz archive)")
    return file


def array(arrays: Mapping[str, Any], name: str, source: str | Path) -> np.ndarray:
    """One array of an archive.

    Raises:
      ValueError: it is damaged, or not an array.
    """
    try:
        found = arrays[name]
    except Exception as error:  # as above
        raise ValueError(f"{source}: {name} cannot be read ({first_line(error)})") from None
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{source}: {name} is {type(found).__name__}, expected an array")
    return found
