"""When missing files are taken for a fault of the machine, and not for the user's wish."""

import collections
import os
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

MOST_GONE = 0.2  # of the tracks below the given folders; more at once are taken for a fault


def faults(
    tracks: Sequence[str],
    found: Container[str],
    folders: Iterable[str],
    unreadable: Mapping[str, str],
    *,
    confirmed: bool,
) -> list[str]:
    """Says what makes it doubtful that missing files are gone.

    Args:
      tracks: paths of the tracks that were there, below the folders.
      found: paths of those whose files are there.
      folders: of the library.
      unreadable: reasons by folder that could not be listed.
      confirmed: whether the user says that missing files are gone; a folder that cannot be listed
        stays doubtful.
    """
    noted = [
        f"cannot be listed ({reason}); its tracks are kept: {folder}"
        for folder, reason in sorted(unreadable.items())
    ]
    if confirmed:
        return noted
    missing = {path for path in tracks if path not in found}
    for folder in folders:
        below = [path for path in tracks if path.startswith(folder.rstrip(os.sep) + os.sep)]
        if below and missing.issuperset(below):
            noted.append(
                f"all {len(below)} tracks lost their files, and are kept (is a disk not mounted?): "
                f"{folder}"
            )
    noted += _empty_places(missing, {os.path.abspath(folder) for folder in folders})
    if are_many(len(missing), len(tracks)):
        noted.append(
            f"{len(missing)} of {len(tracks)} tracks lost their files at once, and are kept; "
            f"the first: {min(missing)}"
        )
    return noted


def are_many(lost: int, of: int) -> bool:
    """Whether so many tracks can hardly be lost at once."""
    return lost > max(1, MOST_GONE * of)


def _empty_places(missing: Iterable[str], folders: Container[str]) -> Iterator[str]:
    """Folders below the given ones where a disk may have been: without files, or links to nowhere.

    An empty folder that had one track only is taken for what its user left.
    """
    counts = collections.Counter(_what_is_left(os.path.dirname(path)) for path in missing)
    for place, count in sorted(counts.items()):
        leads_nowhere = os.path.islink(place) and not os.path.exists(place)
        if leads_nowhere or (count > 1 and place not in folders and _is_empty(place)):
            kind = "leads nowhere" if leads_nowhere else "is empty"
            yield f"{kind}, and its {count} tracks are kept (is a disk not mounted?): {place}"


def _what_is_left(folder: str) -> str:
    """The nearest folder, or link, that is still there."""
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    return folder


def _is_empty(folder: str) -> bool:
    try:
        return not any(Path(folder).iterdir())
    except OSError:
        return False
