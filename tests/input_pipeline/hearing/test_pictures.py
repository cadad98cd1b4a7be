"""Pictures in files of every format that can be built here."""

import base64
import io
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import apev2, asf, flac, id3, mp4

from input_pipeline.hearing import pictures
from tests.helpers.audio import empty_m4a
from tests.helpers.encoding import encode

FRONT, BACK = b"\xff\xd8\xff front \0 cover", b"\x89PNG back"


def sound(path: Path) -> Path:
    if path.suffix == ".m4a":
        path.write_bytes(empty_m4a())
    elif path.suffix == ".wma":
        encode(path, np.zeros((1, 8000)), 44100, "pcm_s16le", container="asf")
    else:
        soundfile.write(path, np.zeros(8000), 44100)
    return path


def picture(kind: int, content: bytes) -> flac.Picture:
    made = flac.Picture()
    made.type, made.data, made.mime, made.desc = kind, content, "image/jpeg", "é"
    return made


def of_asf(kind: int, content: bytes) -> asf.ASFByteArrayAttribute:
    texts = b"".join(f"{text}\0".encode("utf-16-le") for text in ("image/jpeg", "é"))
    head = bytes([kind]) + len(content).to_bytes(4, "little")
    return asf.ASFByteArrayAttribute(head + texts + content)


def add(path: Path, given: list[tuple[int, bytes]]) -> None:
    """Puts pictures of these types into a file, in this order."""
    file = mutagen.File(path)
    if isinstance(file, flac.FLAC):
        for each in given:
            file.add_picture(picture(*each))
    elif path.suffix in (".mp3", ".wav"):
        file.tags or file.add_tags()
        for kind, content in given:
            # Frames of the same text would replace each other.
            file.tags.add(id3.APIC(3, "image/jpeg", kind, f"number {kind}", content))
    elif path.suffix == ".m4a":
        file["covr"] = [mp4.MP4Cover(content) for _, content in reversed(given)]
    elif path.suffix == ".wma":
        file["WM/Picture"] = [of_asf(*each) for each in given]
    else:
        encoded = [base64.b64encode(picture(*each).write()).decode() for each in given]
        file["metadata_block_picture"] = encoded
    file.save()


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "wav", "m4a", "wma"])
def test_front_covers_come_first(tmp_path: Path, suffix: str) -> None:
    path = sound(tmp_path / f"song.{suffix}")
    assert pictures.embedded(path) == []
    add(path, [(4, BACK), (3, FRONT)])
    assert pictures.embedded(path) == [FRONT, BACK]


def test_a_picture_in_an_ape_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tags = apev2.APEv2()
    tags["Cover Art (Front)"] = apev2.APEValue(b"cover.jpg\0" + FRONT, apev2.BINARY)
    opened = type("Opened", (), {"tags": tags})()
    monkeypatch.setattr(mutagen, "File", lambda path: opened)
    assert pictures.embedded(tmp_path) == [FRONT]


def test_what_cannot_be_read_has_none(tmp_path: Path) -> None:
    assert pictures.embedded(tmp_path / "nothing.mp3") == []
    (tmp_path / "text.flac").write_text("no music")
    assert pictures.embedded(tmp_path / "text.flac") == []
    path = sound(tmp_path / "song.ogg")
    file = mutagen.File(path)
    valid = base64.b64encode(picture(3, FRONT).write()).decode()
    file["metadata_block_picture"] = [valid, "not base64!", valid]
    file.save()
    assert pictures.embedded(path) == [FRONT], "what comes before the damage"


def test_damage_anywhere_is_no_error(tmp_path: Path) -> None:
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(100), 44100, format="FLAC")
    path = tmp_path / "song.flac"
    path.write_bytes(stream.getvalue())
    add(path, [(3, FRONT)])
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert pictures.embedded(path) in ([], [FRONT])
