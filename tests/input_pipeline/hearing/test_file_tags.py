"""Tags as programs and people write them, in every format that can be built here."""

import io
import struct
import uuid
from pathlib import Path

import mutagen
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutagen import apev2, id3

from input_pipeline.hearing import file_tags
from input_pipeline.hearing.file_tags import FileTags, named_genre
from tests.helpers.audio import empty_m4a
from tests.helpers.encoding import encode


def audio(suffix: str) -> bytes:
    if suffix == "m4a":
        return empty_m4a()
    stream = io.BytesIO()
    soundfile.write(stream, np.zeros(2205), 22050, format=suffix.upper())
    return stream.getvalue()


FLAC, MP3, WAV = audio("flac"), audio("mp3"), audio("wav")


def flac(path: Path, tags: dict) -> FileTags:
    path.write_bytes(FLAC)
    file = mutagen.File(path)
    file.update(tags)
    file.save()
    return file_tags.read(path)


def mp3(path: Path, frames: dict, version: int = 4) -> FileTags:
    """Writes frames as they are given; mutagen would tidy up dates."""
    path.write_bytes(id3_bytes(frames, version) + MP3)
    return file_tags.read(path)


def id3_bytes(frames: dict, version: int) -> bytes:
    content = b""
    for name, text in frames.items():
        value = (b"\0" + text) if isinstance(text, bytes) else b"\3" + text.encode()
        if version == 2:
            content += name.encode() + len(value).to_bytes(3) + value
        else:
            content += name.encode() + struct.pack(">IH", len(value), 0) + value
    assert len(content) < 128  # so that the size is the same with 7 bits a byte
    return b"ID3" + bytes([version, 0, 0, 0, 0, 0, len(content)]) + content


@pytest.mark.parametrize(
    ("tags", "field", "value"),
    [
        ({"date": "20010101"}, "year", 2001),
        ({"date": "2011-05-01", "originaldate": "0000"}, "year", 2011),
        ({"date": "2011", "originaldate": "19690926"}, "year", 1969),
        ({"date": "2011", "originalyear": "1968", "originaldate": "soon"}, "year", 1968),
        ({"date": ["unknown", "01/02/1997"]}, "year", 1997),
        ({"date": "0000", "year": "1983"}, "year", 1983),
        ({"date": "soon"}, "year", None),
        ({"bpm": "128,5"}, "tempo", 128.5),
        ({"bpm": "128.00 BPM"}, "tempo", 128.0),
        ({"bpm": "0", "tempo": "90"}, "tempo", 90.0),
        *(({"bpm": text}, "tempo", None) for text in ("0", "0.00", "-3", "nan", "1e9", "5", "999")),
        ({"bpm": ["fast", "98"]}, "tempo", 98.0),
        ({"initialkey": "8A"}, "key", "A minor"),
        ({"key": "Am"}, "key", "A minor"),
        ({"key": "A♭m"}, "key", "G# minor"),
        ({"initialkey": "o", "key": "F♯/G♭"}, "key", "F# major"),
        ({"key": "loud"}, "key", None),
        ({"genre": "Rock; Pop"}, "genre", ("Rock", "Pop")),
        ({"genre": ["Rock/pop", "POP", "Jazz  Funk", ""]}, "genre", ("Rock", "pop", "Jazz Funk")),
        ({"genre": "Singer/Songwriter"}, "genre", ("Singer/Songwriter",)),
        ({"mood": "Calm, Dark"}, "mood", ("Calm", "Dark")),
        ({"artist": ["A", "B", "A"]}, "artist", "A; B"),
        ({"artist": "AC/DC"}, "artist", "AC/DC"),
        ({"artist": "Main feat. Other"}, "artist", "Main feat. Other"),
        ({"title": "  a \n b\0 "}, "title", "a b"),
        ({"albumartist": "Various Artists"}, "album_artist", "Various Artists"),
        ({"tracknumber": "03"}, "track_number", 3),
        ({"tracknumber": "3/12"}, "track_number", 3),
        *(({"tracknumber": text}, "track_number", None) for text in ("A1", "0", "", "99999")),
        ({"discnumber": "2 of 3"}, "disc_number", 2),
        *(({"compilation": text}, "compilation", True) for text in ("1", "True", "yes")),
        ({"compilation": "0"}, "compilation", False),
        ({"compilation": "perhaps"}, "compilation", None),
    ],
)
def test_vorbis_comments(tmp_path, tags, field, value):
    assert getattr(flac(tmp_path / "a.flac", tags), field) == value


@pytest.mark.parametrize(
    ("version", "frames", "field", "value"),
    [
        (4, {"TDRC": "Oct 3, 1995"}, "year", 1995),
        (4, {"TDRC": "01/02/1997"}, "year", 1997),
        (4, {"TDRC": "20010101", "TDOR": "19690926"}, "year", 1969),
        (3, {"TYER": "1999", "TORY": "0000"}, "year", 1999),
        (3, {"TYER": "01/02/1997"}, "year", 1997),
        (2, {"TYE": "1987", "TOR": "1966"}, "year", 1966),
        (4, {"TCON": "Rock\0Pop"}, "genre", ("Rock", "Pop")),
        (3, {"TCON": "(17)(9)"}, "genre", ("Rock", "Metal")),
        (3, {"TCON": "(17)Rock"}, "genre", ("Rock",)),
        (3, {"TCON": "(4)Eurodisco"}, "genre", ("Disco", "Eurodisco")),
        (4, {"TCON": "17\x00RX\x00CR\x00255"}, "genre", ("Rock", "Remix", "Cover")),
        (2, {"TCO": "(17)", "TBP": "120", "TKE": "Abm"}, "genre", ("Rock",)),
        (2, {"TKE": "Abm"}, "key", "G# minor"),
        (2, {"TBP": "0"}, "tempo", None),
        (2, {"TT2": "Title", "TRK": "3/9"}, "track_number", 3),
        (2, {"TCP": "1"}, "compilation", True),
        (2, {"TP1": "Artist", "TP2": "Band", "TAL": "Album"}, "album_artist", "Band"),
        (3, {"TXXX": "mood\0Calm; Dark"}, "mood", ("Calm", "Dark")),
        (3, {"TIT2": b"Caf\xe9"}, "title", "Café"),
        (3, {"TPOS": "1/2"}, "disc_number", 1),
    ],
)
def test_id3(tmp_path, version, frames, field, value):
    assert getattr(mp3(tmp_path / "a.mp3", frames, version), field) == value


@pytest.mark.parametrize(
    ("tag", "genres"),
    [
        ("Rock", ["Rock"]),
        ("17", ["Rock"]),
        ("(17)", ["Rock"]),
        ("(17)Hard", ["Rock", "Hard"]),
        ("(RX)", ["Remix"]),
        ("CR", ["Cover"]),
        ("(255)", []),
        ("1990", []),
        ("9" * 5000, []),
        ("((Foo)", ["(Foo)"]),
        ("(Foo)", ["(Foo)"]),
        ("2 Step", ["2 Step"]),
        ("", []),
    ],
)
def test_numbers_of_genres(tag, genres):
    assert named_genre(tag) == genres


def test_every_number_is_that_of_the_list():
    for number, name in enumerate(id3.TCON.GENRES):
        assert named_genre(str(number)) == named_genre(f"({number})") == [name]


def test_ape_and_id3_in_one_file(tmp_path):
    """Field by field: ID3v2 before APEv2, and ID3v1 only where there is neither."""
    path = tmp_path / "a.mp3"
    first = b"TAG" + b"".join(t.ljust(30, b"\0") for t in (b"Old", b"Old artist", b"Old album"))
    first += b"1950" + b"comment".ljust(30, b"\0") + bytes([17])
    path.write_bytes(MP3 + first)
    found = file_tags.read(path)
    assert (found.title, found.album, found.year, found.genre) == (
        *("Old", "Old album", 1950, ("Rock",)),
    )
    tags = apev2.APEv2()
    tags["Title"], tags["Year"], tags["Genre"] = "Ape", "1999-05", ["Jazz", "Pop/Funk"]
    tags["Track"], tags["Album Artist"] = "7/9", "Band"
    tags.save(path)
    path.write_bytes(path.read_bytes().removesuffix(first) + first)
    found = file_tags.read(path)
    assert (found.title, found.year, found.genre) == ("Ape", 1999, ("Jazz", "Pop", "Funk"))
    assert (found.artist, found.album_artist, found.track_number) == ("", "Band", 7)
    path.write_bytes(id3_bytes({"TIT2": "New", "TDRC": "0000"}, 4) + path.read_bytes())
    found = file_tags.read(path)
    assert (found.title, found.year, found.album_artist) == ("New", 1999, "Band")


def info_list(*texts: tuple[bytes, bytes], padded: bool = True) -> bytes:
    content = b"INFO"
    for name, text in texts:
        content += name + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2 * padded)
    return b"LIST" + struct.pack("<I", len(content)) + content


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("Für Elise\0".encode(), "Für Elise"),
        ("Für Elise".encode("cp1252"), "Für Elise"),
        ("Für Elise\0\0".encode("utf-16"), "Für Elise"),
        (b"odd", "odd"),
        (b"\x81\0", "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_riff_info(tmp_path, text, title, padded):
    path = tmp_path / "a.wav"
    texts = ((b"INAM", text), (b"ICRD", b"Oct 3, 1995"), (b"IGNR", b"Rock/Pop"), (b"IPRT", b"3"))
    content = info_list(*texts, padded=padded)
    odd = b"odd \1\0\0\0x" + b"\0" * padded
    for file in (WAV[:12] + content + WAV[12:], WAV + content, WAV + odd + content):
        path.write_bytes(file)
        found = file_tags.read(path)
        assert (found.title, found.year, found.genre) == (title, 1995, ("Rock", "Pop"))
        assert (found.track_number, found.problems) == (3, ())


def test_id3_in_a_wav_file_comes_before_its_info(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(WAV + info_list((b"INAM", b"Info"), (b"IART", b"Artist")))
    file = mutagen.File(path)
    file.add_tags()
    file.tags.add(id3.TIT2(encoding=3, text="ID3"))
    file.save()
    found = file_tags.read(path)
    assert (found.title, found.artist) == ("ID3", "Artist")


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**32 - 1])
def test_riff_chunks_of_any_length_end(tmp_path, size):
    path = tmp_path / "a.wav"
    content = info_list((b"INAM", b"Title"))
    data = b"data" + struct.pack("<I", size)
    path.write_bytes(WAV[:36] + content[:4] + struct.pack("<I", size) + content[8:] + data)
    assert file_tags.read(path).artist == ""
    path.write_bytes(WAV[:36] + content + data + b"\0" * 1000)
    assert file_tags.read(path).title == "Title"


def test_long_wav_files(tmp_path):
    """RF64 says the length of its audio elsewhere."""
    sizes = b"ds64" + struct.pack("<IQQQI", 28, 0, 8, 2, 0)
    audio = b"data" + b"\xff" * 4 + b"\0" * 8
    path = tmp_path / "a.wav"
    content = info_list((b"INAM", b"Title"))
    path.write_bytes(b"RF64" + b"\xff" * 4 + b"WAVE" + sizes + WAV[12:36] + audio + content)
    assert file_tags.read(path).title == "Title"


def test_mp4(tmp_path):
    path = tmp_path / "a.m4a"
    path.write_bytes(audio("m4a"))
    file = mutagen.File(path)
    file.add_tags()
    file.tags.update({"tmpo": [0], "trkn": [(3, 12)], "disk": [(1, 0)], "cpil": True})
    file.tags.update({"\xa9gen": ["Hip-Hop/Rap"], "\xa9day": ["1994-05-01T07:00:00Z"]})
    file.tags["----:com.apple.iTunes:initialkey"] = [b"4A"]
    file.save()
    found = file_tags.read(path)
    assert (found.tempo, found.track_number, found.disc_number) == (None, 3, 1)
    assert (found.compilation, found.year, found.key) == (True, 1994, "F minor")
    assert (found.genre, found.problems) == (("Hip-Hop", "Rap"), ())
    file.tags["----:com.apple.iTunes:BPM"] = [b"93.7"]
    file.tags["tmpo"] = [94]
    file.save()
    assert file_tags.read(path).tempo == 93.7


def test_asf(tmp_path):
    path = tmp_path / "a.wma"
    header = uuid.UUID("75B22630-668E-11CF-A6D9-00AA0062CE6C").bytes_le
    path.write_bytes(header + struct.pack("<QIBB", 30, 0, 1, 2))
    file = mutagen.File(path)
    file.tags.update({"Title": "Title", "Author": ["A", "B"], "WM/Genre": ["Rock/Pop", "Jazz"]})
    file.tags.update({"WM/IsCompilation": [True], "WM/TrackNumber": [3], "WM/PartOfSet": "1/2"})
    file.tags.update({"WM/Year": "Oct 3, 1995", "WM/OriginalReleaseYear": "0000"})
    file.tags.update({"WM/InitialKey": "8A", "WM/BeatsPerMinute": "128,5"})
    file.save()
    assert file_tags.read(path) == FileTags(
        title="Title",
        artist="A; B",
        genre=("Rock", "Pop", "Jazz"),
        year=1995,
        tempo=128.5,
        key="A minor",
        track_number=3,
        disc_number=1,
        compilation=True,
    )


@pytest.mark.parametrize("suffix", ["aac", "ape", "mpc", "wv"])
def test_tags_at_the_end_of_other_formats(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"\xff\xf1" + b"audio" * 100)
    tags = apev2.APEv2()
    tags["Title"], tags["BPM"], tags["Year"] = "Title", "0", "20010101"
    tags.save(path)
    assert file_tags.read(path) == FileTags(title="Title", year=2001)


def test_id3v2_comes_before_apev2_in_formats_that_should_have_neither(tmp_path):
    path = tmp_path / "a.aac"
    path.write_bytes(id3_bytes({"TIT2": "ID3"}, 3) + b"\xff\xf1" + b"audio" * 100)
    tags = apev2.APEv2()
    tags["Title"], tags["Artist"] = "APE", "Artist"
    tags.save(path)
    assert file_tags.read(path) == FileTags(title="ID3", artist="Artist")


def test_aiff(tmp_path):
    path = tmp_path / "a.aiff"
    path.write_bytes(audio("aiff"))
    file = mutagen.File(path)
    file.add_tags()
    file.tags.add(id3.TDRC(encoding=3, text="1999-05"))
    file.tags.add(id3.TCON(encoding=3, text=["(17)", "Jazz"]))
    file.save()
    assert file_tags.read(path) == FileTags(year=1999, genre=("Rock", "Jazz"))


def test_aiff_has_texts_of_its_own(tmp_path):
    tags = {"title": "A title", "author": "An artist"}
    tone = 0.1 * np.sin(np.arange(22050))[None]
    encode(tmp_path / "a.aiff", tone, 22050, "pcm_s16be", tags=tags)
    assert file_tags.read(tmp_path / "a.aiff") == FileTags(title="A title", artist="An artist")


def test_problems_say_what_was_found(tmp_path):
    found = flac(tmp_path / "a.flac", {"date": "May", "bpm": "fast", "key": "H minor"})
    assert found == FileTags(
        problems=(
            "date is 'May', expected one with a year from 1000 to 2099",
            "tempo is 'fast', expected beats per minute in (0, 1000)",
            """key is 'H minor', expected a tonic and a mode such as "A minor" or "Bb\"""",
        )
    )
    unknown = {"date": "0000-00-00", "bpm": "0", "key": "o", "tracknumber": "0"}
    assert flac(tmp_path / "b.flac", unknown) == FileTags()


def test_files_without_tags(tmp_path):
    (tmp_path / "text.mp3").write_text("no music")
    (tmp_path / "empty.flac").touch()
    for name in ("text.mp3", "empty.flac", "nowhere.wav"):
        (problem,) = file_tags.read(tmp_path / name).problems
        assert problem.startswith("tags cannot be read (")
    (tmp_path / "bare.mp3").write_bytes(MP3)
    assert file_tags.read(tmp_path / "bare.mp3") == FileTags()
    (tmp_path / "no audio.mp3").write_bytes(id3_bytes({"TIT2": "Title"}, 4) + b"broken" * 100)
    assert file_tags.read(tmp_path / "no audio.mp3") == FileTags(title="Title")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data(), which=st.sampled_from(["flac", "mp3", "wav"]))
def test_damaged_tags_are_never_an_error(tmp_path, data, which):
    path = tmp_path / f"damaged.{which}"
    whole = {
        "flac": FLAC,
        "mp3": id3_bytes({"TDRC": "01/02/1997", "TCON": "(17)Rock", "TKEY": "8A"}, 4) + MP3,
        "wav": WAV[:12] + info_list((b"INAM", b"Title"), (b"ICRD", b"1999")) + WAV[12:],
    }[which]
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, min(len(content), 200) - 1))] = data.draw(
            st.integers(0, 255)
        )
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert isinstance(file_tags.read(path), FileTags)


def test_formats_that_only_ffmpeg_reads(tmp_path):
    tone = 0.1 * np.sin(np.arange(22050))[None]
    for name, codec in (("a.mka", "pcm_s16le"), ("a.webm", "libopus")):
        rate = 48000 if codec == "libopus" else 22050
        tags = {"title": "A title", "artist": "An artist", "date": "1999-05-01", "BPM": "128,5"}
        encode(tmp_path / name, tone, rate, codec, tags=tags)
        found = file_tags.read(tmp_path / name)
        known = (found.title, found.artist, found.year, found.tempo)
        assert known == ("A title", "An artist", 1999, 128.5), name
