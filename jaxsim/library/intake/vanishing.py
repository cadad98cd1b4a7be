"""When missing files are taken for a fault of the machine, and not for the user's wish."""

import os
from collections.abc import Container, Iterable, Mapping, Sequence

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
      found: paths of the files that are there.
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
    if len(missing) > max(1, MOST_GONE * len(tracks)):
        noted.append(
            f"{len(missing)} of {len(tracks)} tracks lost their files at once, and are kept; "
            f"the first: {min(missing)}"
        )
    return noted
