"""Which tracks are which files now: after files have moved, changed places or got other tags."""

from collections.abc import Callable, Mapping
from pathlib import Path

from jaxsim.library.intake.examination import Examined
from jaxsim.library.store.entries import Known

Key = Callable[[Known | Examined], tuple]

# What a track and its file have in common, the most telling first.
_CONTENT: tuple[Key, ...] = (
    lambda one: (one.digest, Path(one.path).name),
    lambda one: (one.digest,),
)
_AUDIO: tuple[Key, ...] = (
    lambda one: (one.fingerprint, Path(one.path).name),
    lambda one: (one.fingerprint,),
)


def places(loose: Mapping[str, Known], files: Mapping[str, Examined]) -> dict[str, str]:
    """Finds the files of tracks that are no longer, or perhaps no longer, at their paths.

    A track stays where it is if its audio is still there. Of several equal files, the one with the
    same content is taken first, then the one with the same name, then the first path.

    Args:
      loose: the tracks, by path.
      files: the files that may be theirs, by path.

    Returns:
      The new path of every track that is recognised, by its old one.
    """
    found = {
        path: path
        for path, file in files.items()
        if path in loose and _same_audio(loose[path], file)
    }
    for key in _CONTENT + _AUDIO:
        owners: dict[tuple, list[str]] = {}
        for path in sorted(loose.keys() - found.keys(), reverse=True):
            owners.setdefault(key(loose[path]), []).append(path)
        for path in sorted(files.keys() - found.values()):
            if all(key(files[path])) and (waiting := owners.get(key(files[path]))):
                found[waiting.pop()] = path
    return found


def _same_audio(track: Known, file: Examined) -> bool:
    if track.fingerprint:
        return track.fingerprint == file.fingerprint
    return track.digest == file.digest
