"""Playlists as files that name audio files: M3U for every player, XSPF with what is known."""

import os
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from input_pipeline.files import replacing

SUFFIXES = (".m3u", ".m3u8", ".xspf")
NAMESPACE = "http://xspf.org/ns/0/"


def write(path: str | Path, tracks: Sequence[Mapping[str, Any]], *, relative: bool = False) -> None:
    """Writes a playlist, completely or not at all.

    Args:
      path: of the playlist; its suffix says which format.
      tracks: as `Store.metadata` gives them, in the order in which they are played.
      relative: whether files are named as seen from the playlist's folder, so that both can be
        moved together.

    Raises:
      ValueError: the suffix is not one of `SUFFIXES`, or a file's name has a line break, which M3U
        cannot express.
    """
    path = Path(path)
    folder = os.path.abspath(path.parent) if relative else None
    text = render(tracks, path.suffix.lower(), folder)
    with replacing(path) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def render(
    tracks: Sequence[Mapping[str, Any]], suffix: str, folder: str | Path | None = None
) -> str:
    """The text of a playlist; see `write`.

    Args:
      tracks: as `Store.metadata` gives them.
      suffix: one of `SUFFIXES`.
      folder: from which files are named; None for absolute names.
    """
    names = [track["path"] for track in tracks]
    if folder:
        names = [_relative(name, folder) for name in names]
    if suffix == ".xspf":
        return _xspf(tracks, names)
    if suffix not in SUFFIXES:
        raise ValueError(f"a playlist's name ends with {suffix!r}, expected {', '.join(SUFFIXES)}")
    return _m3u(tracks, names)


def _relative(name: str, folder: str | Path) -> str:
    """A file's name as seen from a folder."""
    found = os.path.relpath(name, folder)
    if os.path.realpath(os.path.join(folder, found)) == os.path.realpath(name):
        return found
    # ".." of a folder that is reached through a link is another folder than its name says.
    return os.path.relpath(os.path.realpath(name), os.path.realpath(folder))


def _m3u(tracks: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    lines = ["#EXTM3U"]
    for track, name in zip(tracks, names, strict=True):
        if name.splitlines() != [name]:
            raise ValueError(f"{name!r} has a line break, which M3U cannot express; use .xspf")
        known = " - ".join(filter(None, (track["artist"], track["title"])))
        lines.append(f"#EXTINF:{round(track['seconds'] or -1)},{' '.join(known.split())}")
        # A name that begins with "#" would be a comment, and players drop spaces at the start.
        lines.append(f"./{name}" if name.startswith(("#", " ", "\t")) else name)
    return "\n".join([*lines, ""])


def _xspf(tracks: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    import xml.etree.ElementTree as ElementTree

    playlist = ElementTree.Element("playlist", {"version": "1", "xmlns": NAMESPACE})
    listed = ElementTree.SubElement(playlist, "trackList")
    for track, name in zip(tracks, names, strict=True):
        one = ElementTree.SubElement(listed, "track")
        place = urllib.parse.quote(os.fsencode(name))
        known = {
            "location": f"file://{place}" if os.path.isabs(name) else place,
            "title": track["title"],
            "creator": track["artist"],
            "album": track["album"],
            "duration": track["seconds"] and round(1000 * track["seconds"]),
        }
        for field, value in known.items():
            if value:
                ElementTree.SubElement(one, field).text = _printable(str(value))
    ElementTree.indent(playlist)
    text = ElementTree.tostring(playlist, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _printable(text: str) -> str:
    """The text without characters that XML cannot hold."""
    return "".join(c for c in text if c in "\t\n\r" or (c >= " " and not "\ud800" <= c <= "\udfff"))
