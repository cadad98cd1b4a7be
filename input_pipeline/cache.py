"""Where jaxsim keeps files it makes for its own use, even where there is no home to write to."""

import contextlib
import functools
import os
import tempfile
from pathlib import Path

NUMBA = "NUMBA_CACHE_DIR"


def cache_directory() -> Path:
    """$JAXSIM_DATA, or else ~/.cache/jaxsim, or a temporary folder if that cannot be written to."""
    if chosen := os.environ.get("JAXSIM_DATA"):
        return Path(chosen)
    return Path("~/.cache/jaxsim").expanduser() if _has_home() else _temporary()


def _has_home() -> bool:
    try:
        return _can_write(Path("~/.cache/jaxsim").expanduser())
    except RuntimeError:  # this user has none
        return False


def _can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which may still have to be made itself."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


@functools.cache
def _temporary() -> Path:
    """A folder for this user, or, if somebody else has taken its name, for this process."""
    owner = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir(), f"jaxsim-{owner}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="jaxsim-"))
    is_ours = folder.is_dir() and not folder.is_symlink() and status.st_uid == owner
    return folder if is_ours else Path(tempfile.mkdtemp(prefix="jaxsim-"))


def make_room_for_numba() -> None:
    """Tells Numba, which librosa compiles with, where to cache if it cannot do so at home.

    It refuses to be imported where it finds no place. To be called before that.
    """
    with contextlib.suppress(OSError):  # without a temporary folder: whoever needs one will say so
        if NUMBA not in os.environ and not _has_home():
            os.environ[NUMBA] = str(_temporary() / "numba")
