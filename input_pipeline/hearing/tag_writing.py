"""Writes what was heard into the tags of a music file, which is changed as a whole or not at all.

Only MP3 (ID3), FLAC, Ogg (Vorbis, Opus, Speex, FLAC) and MP4 are written. A copy beside the file is
changed, read again, compared with the file, and then takes its place; so whatever goes wrong, the
file is as it was.

  tempo: TBPM, BPM, tmpo; a whole number, as ID3 and MP4 want it.
  key: TKEY, INITIALKEY, initialkey; as ID3 spells it, "D#m".
  mood, genre: TMOO, MOOD; TCON, GENRE, \xa9gen; one value for each tag, but joined in ID3v2.3.
  a note (`file_tags.NOTE`) of the above, so that it can be told from what the owner wrote.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mutagen
from mutagen import apev2, flac, id3, mp3, mp4, oggflac, oggopus, oggspeex, oggvorbis

from input_pipeline.hearing import audio, file_tags
from input_pipeline.hearing.file_tags import ITUNES, NAMES, NOTE, WRITTEN
from input_pipeline.tracks import KEYS, parse_key

VORBIS = (
    flac.FLAC,
    oggflac.OggFLAC,
    oggopus.OggOpus,
    oggspeex.OggSpeex,
    oggvorbis.OggVorbis,
)
UNFINISHED = ".jaxsim-"  # what the names of copies begin with
# Of the time of a change: so little that files keep their order, and enough for backups to see it
# on file systems that count in steps of two seconds.
LATER = 2 * 10**9  # nanoseconds
_ID3V1 = 128  # bytes, at the end of a file
_FRAMES = {"tempo": "TBPM", "key": "TKEY", "mood": "TMOO", "genre": "TCON"}
_COMMENTS = {"tempo": "BPM", "key": "INITIALKEY", "mood": "MOOD", "genre": "GENRE"}
_ATOMS = {
    "tempo": "tmpo",
    "key": f"{ITUNES}initialkey",
    "mood": f"{ITUNES}MOOD",
    "genre": "\xa9gen",
}
# mutagen's own classes for dates lose what they cannot read, such as "Oct 3, 1995".
_DATES = ("TDEN", "TDOR", "TDRC", "TDRL", "TDTG")
_KNOWN_FRAMES = id3.Frames | {name: type(name, (id3.TextFrame,), {}) for name in _DATES}

Values = Mapping[str, float | str | tuple[str, ...]]  # by field, as in `FileTags`


class NotWritten(Exception):
    """A file whose tags are not written, and stay as they are; the message says why."""


def check(file: Path) -> None:
    """Raises NotWritten if it can be told, without reading its audio, that a file is not written.

    Its path must not lead through a link.
    """
    try:
        status = os.lstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise NotWritten("is not a regular file")
        if not status.st_mode & 0o222 or not os.access(file, os.W_OK):
            raise NotWritten("is read-only")
        if status.st_nlink > 1:
            raise NotWritten("has several names (hard links), and only one would be changed")
        if not os.access(file.parent, os.W_OK):
            raise NotWritten("its folder is read-only")
        _kind(file)
    except OSError as error:
        raise NotWritten(_reason(error)) from None


def write(file: Path, values: Values, *, fingerprint: str) -> None:
    """Writes values into a file's tags, in place of what the file says in these fields.

    Mode, owner and times of the file are kept as far as possible; it becomes two seconds younger.

    Args:
      file: its path must not lead through a link.
      values: by field of `file_tags.WRITTEN`, as they are to be read; a tempo is a whole number.
      fingerprint: of the audio that was heard, see `audio.fingerprint`.

    Raises:
      NotWritten: the file has other audio, or cannot be written; it is as it was.
    """
    check(file)
    name = hashlib.sha256(os.fsencode(file.name)).hexdigest()[:16]
    copy = file.with_name(f"{UNFINISHED}{name}{file.suffix}")
    try:
        copy.unlink(missing_ok=True)  # left by a process that was killed
        before = os.stat(file)
        if audio.fingerprint(file) != fingerprint:
            raise NotWritten("its audio is not what was heard; run jaxsim.embed first")
        kind, expected = _kind(file), _expected(file, values)
        shutil.copyfile(file, copy)
        _edit(kind, copy, values, _note(file, values))
        _compare(copy, fingerprint, expected)
        _keep(file, copy, before)
        if _state(os.stat(file)) != _state(before):
            raise NotWritten("another program has changed it meanwhile")
        os.replace(copy, file)
    except NotWritten:
        raise
    except OSError as error:
        raise NotWritten(_reason(error)) from None
    except audio.UnusableTrack as error:
        raise NotWritten(error.reason) from None
    except Exception as error:  # mutagen has no limit to what it raises for damaged tags
        raise NotWritten(f"its tags cannot be written ({error or type(error).__name__})") from None
    finally:
        with contextlib.suppress(OSError):
            copy.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    return f"cannot be written ({error.strerror or type(error).__name__})"


def _kind(file: Path) -> type[mutagen.FileType]:
    """The format of a file that can be written; raises NotWritten, naming any other."""
    try:
        found = mutagen.File(file)
    except Exception as error:
        raise NotWritten(f"its tags cannot be read ({error})") from None
    if isinstance(found, (mp3.MP3, mp4.MP4, *VORBIS)):
        return type(found)
    name = type(found).__name__ if found is not None else file.suffix or "unknown"
    raise NotWritten(f"tags of {name} files are not written")


def _expected(file: Path, values: Values) -> file_tags.FileTags:
    """What must be read once the values are written."""
    changed: dict[str, Any] = dict(values)
    found = dataclasses.replace(file_tags.read(file), **changed)
    return dataclasses.replace(found, heard=(), problems=())


def _note(file: Path, values: Values) -> str:
    """The content of the note: what is written now, and what was before and is still there."""
    read = file_tags.read(file)
    noted = {field: getattr(read, field) for field in read.heard} | dict(values)
    return json.dumps({field: noted[field] for field in WRITTEN if field in noted})


def _compare(copy: Path, fingerprint: str, expected: file_tags.FileTags) -> None:
    """Raises NotWritten unless a copy has the same audio, and the tags that it should have."""
    if audio.fingerprint(copy) != fingerprint:
        raise NotWritten("its audio would not stay the same")
    found = file_tags.read(copy)
    for field in dataclasses.fields(found):
        one, other = getattr(found, field.name), getattr(expected, field.name)
        if field.name not in ("heard", "problems") and one != other:
            raise NotWritten(f"its {field.name} would be read as {one!r}, expected {other!r}")


def _keep(file: Path, copy: Path, before: os.stat_result) -> None:
    """Gives a copy what its file has besides its content, and sees to it that it is on disk."""
    with contextlib.suppress(OSError, AttributeError):  # others' files, or not a Unix
        os.chown(copy, before.st_uid, before.st_gid)
    shutil.copystat(file, copy)
    os.utime(copy, ns=(before.st_atime_ns, before.st_mtime_ns + LATER))
    with copy.open("rb") as opened:
        os.fsync(opened.fileno())


def _state(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _edit(kind: type[mutagen.FileType], copy: Path, values: Values, note: str) -> None:
    edits: dict[Any, Callable[[Path, Values, str], None]]
    edits = {mp3.MP3: _edit_id3, mp4.MP4: _edit_mp4}
    if kind in VORBIS:
        _edit_comments(kind, copy, values, note)
    else:
        next(edit for one, edit in edits.items() if issubclass(kind, one))(copy, values, note)


def _edit_comments(kind: Any, copy: Path, values: Values, note: str) -> None:
    file = kind(copy)
    if file.tags is None:
        file.add_tags()
    _forget(file.tags, values)
    for field, value in values.items():
        file.tags[_COMMENTS[field]] = _texts(field, value)
    file.tags[NOTE] = [note]
    file.save(copy)


def _edit_mp4(copy: Path, values: Values, note: str) -> None:
    file = mp4.MP4(copy)
    if file.tags is None:
        file.add_tags()
    tags: Any = file.tags
    _forget(tags, values)
    texts = {_ATOMS[field]: _texts(field, value) for field, value in values.items()}
    for name, own in (texts | {f"{ITUNES}{NOTE}": [note]}).items():
        if name == "tmpo":
            tags[name] = [int(text) for text in own]
        elif name.startswith(ITUNES):
            tags[name] = [mp4.MP4FreeForm(text.encode()) for text in own]
        else:
            tags[name] = own
    file.save(copy)


def _edit_id3(copy: Path, values: Values, note: str) -> None:
    """Keeps the version of ID3v2, and ID3v1 at the end byte by byte."""
    tags = _id3_of(copy)
    version = 3 if tags.version[:2] == (2, 3) else 4
    with copy.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _ID3V1))
        end = file.read()
    _forget(tags, values)
    for field, value in values.items():
        texts, name = _texts(field, value), _FRAMES[field]
        if version == 3:
            texts = ["; ".join(texts)]
        encoding = id3.Encoding.LATIN1 if all(map(str.isascii, texts)) else id3.Encoding.UTF16
        if version == 3 and field == "mood":  # ID3v2.3 has no frame for it
            tags.add(id3.TXXX(encoding=encoding, desc="MOOD", text=texts))
        else:
            tags.add(getattr(id3, name)(encoding=encoding, text=texts))
    tags.add(id3.TXXX(encoding=id3.Encoding.LATIN1, desc=NOTE, text=[note]))
    tags.save(copy, v1=id3.ID3v1SaveOptions.UPDATE, v2_version=version, v23_sep=None)
    if end.startswith(b"TAG"):
        with copy.open("r+b") as file:
            file.seek(-_ID3V1, os.SEEK_END)
            file.write(end)


def _id3_of(copy: Path) -> id3.ID3:
    """The ID3v2 tag as it is; a new one if there is none, with what ID3v1 says if that counts."""
    try:
        tags = id3.ID3(copy, known_frames=_KNOWN_FRAMES, translate=False, load_v1=False)
        # Nobody writes ID3v2.2 any more, and its frames have other names.
        return tags if tags.version >= (2, 3) else id3.ID3(copy, load_v1=False)
    except id3.ID3NoHeaderError:
        pass
    with contextlib.suppress(mutagen.MutagenError):
        apev2.APEv2(copy)
        return id3.ID3()  # APEv2 counts before ID3v1
    try:
        return id3.ID3(copy)
    except id3.ID3NoHeaderError:
        return id3.ID3()


def _forget(tags: Any, values: Values) -> None:
    """Removes what tags say in these fields, under any name, and the note."""
    names = {name for field in (*values, "note") for name in NAMES[field]}
    for name in list(tags.keys()):
        if name.lower() in names:
            del tags[name]


def _texts(field: str, value: Any) -> list[str]:
    """A value as it is written."""
    if field == "tempo":
        return [str(round(value))]
    if field == "key":
        tonic, _, mode = KEYS[parse_key(value)].partition(" ")
        return [tonic + ("m" if mode == "minor" else "")]
    return list(value)
