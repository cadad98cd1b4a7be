"""Which of a library's tracks is which song of a music server: by path, then by tags.

Servers say paths as they see them, below another folder (a container's, say), below their music
folder, or even made up from tags. So paths are compared from their ends.
"""

import collections
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from jaxsim.library.intake.music_server import Song
from jaxsim.library.store.matching import folded

SAME_SECONDS = 5.0  # by which two durations of one file may differ: padding, rounding, estimates
ENOUGH = 2  # components, the file's name among them, that two paths must share

_SEVERAL = re.compile(r"[;•]")  # between several artists, here and at Navidrome


def match(songs: Sequence[Song], tracks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Songs' ids by the paths of the tracks that they are; each belongs to one track at most.

    Args:
      songs: of the server.
      tracks: metadata, as `Store.metadata` returns it.
    """
    paths = {track["path"]: track for track in tracks}
    found: dict[str, str] = {}
    _by_path(songs, paths, found)
    for key in (_title_artist_album, _title_artist):
        _by_key(songs, paths, found, key)
    return found


def _by_path(
    songs: Iterable[Song], tracks: Mapping[str, Mapping[str, Any]], found: dict[str, str]
) -> None:
    named = collections.defaultdict[str, list[str]](list)
    for path in tracks:
        named[PurePath(path).name].append(path)
    for song in songs:
        wanted = [part for part in song.path.replace("\\", "/").split("/") if part]
        if not wanted:
            continue
        shared = [(_common_end(path, wanted), path) for path in named.get(wanted[-1], ())]
        best = max((count for count, _ in shared), default=0)
        candidates = [path for count, path in shared if count == best]
        is_enough = best >= min(ENOUGH, len(wanted))
        if not is_enough or len(candidates) != 1 or candidates[0] in found:
            continue
        if _same_length(song, tracks[candidates[0]]):
            found[candidates[0]] = song.id


def _common_end(path: str, wanted: Sequence[str]) -> int:
    """How many components two paths share at their ends."""
    count = 0
    for one, other in zip(reversed(PurePath(path).parts), reversed(wanted), strict=False):
        if one != other:
            break
        count += 1
    return count


def _by_key(
    songs: Iterable[Song],
    tracks: Mapping[str, Mapping[str, Any]],
    found: dict[str, str],
    key: Callable[[str, str, str], Hashable],
) -> None:
    """Matches what is left where a key belongs to one song and one track only."""
    taken = set(found.values())
    theirs = collections.defaultdict[Hashable, list[Song]](list)
    for song in songs:
        if song.id not in taken:
            theirs[key(song.title, song.artist, song.album)].append(song)
    ours = collections.defaultdict[Hashable, list[str]](list)
    for path, track in tracks.items():
        if path not in found:
            texts = (track[name] or "" for name in ("title", "artist", "album"))
            ours[key(*texts)].append(path)
    for name, paths in ours.items():
        candidates = theirs.get(name, [])
        if not name or len(paths) != 1 or len(candidates) != 1:
            continue
        if _same_length(candidates[0], tracks[paths[0]]):
            found[paths[0]] = candidates[0].id


def _title_artist_album(title: str, artist: str, album: str) -> Hashable:
    return title and artist and album and (folded(title), _first(artist), folded(album))


def _title_artist(title: str, artist: str, _: str) -> Hashable:
    return title and artist and (folded(title), _first(artist))


def _first(artist: str) -> str:
    return folded(_SEVERAL.split(artist)[0])


def _same_length(song: Song, track: Mapping[str, Any]) -> bool:
    ours, theirs = track["seconds"], song.seconds
    return not ours or not theirs or abs(ours - theirs) <= SAME_SECONDS
