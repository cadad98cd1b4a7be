"""mirdata's own readers, on annotation files in their formats; skipped where it isn't installed."""

import json
import sys

import pytest

from input_pipeline.collection import Problem, split_of_group
from input_pipeline.sources import mirdata as adapter


@pytest.fixture
def write_data_set(tmp_path, monkeypatch):
    """Writes a data set's files and makes mirdata find an index of them, as if downloaded."""
    core = pytest.importorskip("mirdata.core")
    index = tmp_path / "index.json"
    monkeypatch.setattr(core.Index, "get_path", lambda self: str(index))

    def write(tracks, files):
        entries = {
            track: {kind: [name, None] for kind, name in paths.items()}
            for track, paths in tracks.items()
        }
        index.write_text(json.dumps({"version": "1.0", "tracks": entries}))
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        return tmp_path

    return write


def test_gtzan_genre(write_data_set):
    tracks = {
        f"{name}.00000": {"audio": f"{name}.wav", "beats": f"{name}.beats", "tempo": f"{name}.bpm"}
        for name in ("blues", "hiphop", "rock")
    }
    path = write_data_set(tracks, {"blues.bpm": "126.5\n", "hiphop.bpm": "0\n"})
    collection = adapter.read(path, dataset="gtzan_genre")
    assert [(t.track_id, t.tags, t.tempo, t.audio) for t in collection.tracks] == [
        ("blues.00000", {"genre": ("blues",)}, 126.5, path / "blues.wav"),
        ("hiphop.00000", {"genre": ("hip-hop",)}, None, path / "hiphop.wav"),
        ("rock.00000", {"genre": ("rock",)}, None, path / "rock.wav"),
    ]
    assert [track.split for track in collection.tracks] == [
        split_of_group(track.track_id) for track in collection.tracks
    ]
    zero, missing = collection.problems
    reason = "tempo is 0.0, expected beats per minute in (0, 1000)"
    assert zero == Problem("hiphop.00000", reason, skipped=False)
    assert (missing.where, missing.skipped) == ("rock.00000", False)
    assert missing.reason.startswith("tempo cannot be read (FileNotFoundError")
    assert "Tzanetakis" in collection.citation and "license" in collection.licence
    assert collection.name == "gtzan_genre"


def test_giantsteps_key(write_data_set):
    names = {"audio": "audio/1.mp3", "key": "1.key", "meta": "1.json"}
    meta = {
        "artists": [{"name": "A"}, {"name": "B"}],
        "genres": [{"name": "Trance"}],
        "sub_genres": [],
        "bpm": "138",
    }
    path = write_data_set({"3": names}, {"1.key": "D minor\n", "1.json": json.dumps(meta)})
    (track,) = adapter.read(path, dataset="giantsteps_key").tracks
    assert (track.key, track.tags, track.tempo) == ("D minor", {"genre": ("Trance",)}, None)
    assert (track.artist, track.group, track.title) == ("A, B", "artist A, B", "1")


def _jams(*tempi):
    data = [{"time": 0.0, "duration": 120.0, "value": v, "confidence": c} for v, c in tempi]
    genre = {"data": [{"time": 0, "duration": 120, "value": "techno", "confidence": 1}]}
    return json.dumps({"annotations": [{"data": data}, genre]})


def test_giantsteps_tempo(write_data_set):
    names = {"audio": "a.mp3", "annotation_v1": "1.jams", "annotation_v2": "2.jams"}
    files = {"1.jams": _jams((90.0, 1.0)), "2.jams": _jams((69.5, 0.3), (139.0, 0.7))}
    path = write_data_set({"113": names}, files)
    (track,) = adapter.read(path, dataset="giantsteps_tempo").tracks
    assert (track.tempo, track.tags) == (139.0, {"genre": ("techno",)})


@pytest.mark.parametrize(("text", "key"), [("A minor", "A minor"), ("A minor|C major", None)])
def test_beatport_key_takes_no_piece_that_changes_key(write_data_set, text, key):
    names = {"audio": "a.mp3", "key": "a.key", "meta": "a.json"}
    meta = json.dumps({"artists": [], "genres": [], "sub_genres": [], "bpm": "1"})
    path = write_data_set({"1": names}, {"a.key": text, "a.json": meta})
    collection = adapter.read(path, dataset="beatport_key")
    assert [track.key for track in collection.tracks] == [key]
    assert collection.problems == ()


def test_an_official_test_split_is_kept(write_data_set):
    tracks = {
        "1__1": {"audio": "gel/[gel][pop_roc]1__1.wav", "annotation": None},
        "01-a": {"audio": "test/01-a.wav", "annotation": "test/01-a.txt"},
    }
    path = write_data_set(tracks, {"test/01-a.txt": "gel\t\nvoi\t\n"})
    one, two = adapter.read(path, dataset="irmas").tracks
    assert one.tags == {"genre": ("pop_roc",), "instrument": ("gel",)} and one.split != "test"
    assert (two.tags, two.split) == ({"instrument": ("gel", "voi")}, "test")


def test_fma_keys(write_data_set):
    table = "track_id,spotify_uri,key_and_mode\n1,x,Bb Major\n2,y,F# minor\n"
    tracks = {number: {"audio": f"{number}.mp3"} for number in "123"}
    path = write_data_set(tracks, {"fma_keys_metadata.csv": table})
    found = adapter.read(path, dataset="fma_keys")
    assert [track.key for track in found.tracks] == ["A# major", "F# minor", None]
    assert found.problems == ()


def test_ballroom(write_data_set):
    names = {"audio": "data/ChaChaCha/1.wav", "beats": "1.beats", "tempo": "1.bpm"}
    path = write_data_set({"1": names}, {"1.bpm": "124\n"})
    (track,) = adapter.read(path, dataset="ballroom").tracks
    assert (track.tags, track.tempo) == ({"genre": ("chachacha",)}, 124.0)


def test_openmic2018(write_data_set):
    """Instruments that most hear; the published test tracks; gaps in the table of tracks."""
    metadata = (
        "album_id,artist_name,track_genres,track_title,sample_key,start_time\n"
        "1,A,\"[{'genre_id': '1', 'genre_title': 'Folk'}]\",Song,k1,0\n"
        "1,,,,k2,0\n"
    )
    labels = "sample_key,instrument,relevance,num_responses\nk1,banjo,0.9,3\nk1,piano,0.5,3\n"
    files = {
        "openmic-2018-metadata.csv": metadata,
        "openmic-2018-aggregated-labels.csv": labels,
        "partitions/split01_train.csv": "k1\n",
        "partitions/split01_test.csv": "k2\n",
    }
    tracks = {name: {"audio": f"{name}.ogg", "vggish": None} for name in ("k1", "k2")}
    collection = adapter.read(write_data_set(tracks, files), dataset="openmic2018")
    one, two = collection.tracks
    assert one.tags == {"genre": ("Folk",), "instrument": ("banjo",)} and one.split != "test"
    assert (one.artist, one.title, one.group) == ("A", "Song", "artist A")
    assert (two.tags, two.split, two.artist, two.group) == ({}, "test", "", "k2")
    (problem,) = collection.problems
    assert (problem.where, problem.skipped) == ("k2", False)
    assert problem.reason.startswith("genre cannot be read (TypeError")


@pytest.mark.parametrize("official", ["test", "split01_test"])
def test_splits(official):
    groups = [str(number) for number in range(100)]
    assert {adapter._split(official, group) for group in groups} == {"test"}
    assert {adapter._split("train", group) for group in groups} == {"train", "validation"}
    assert [adapter._split("", group) for group in groups] == list(map(split_of_group, groups))


def test_errors(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="dataset is 'gtzan', expected one of gtzan_genre, giant"):
        adapter.read(tmp_path, dataset="gtzan")
    monkeypatch.setitem(sys.modules, "mirdata", None)
    with pytest.raises(ImportError, match=r"this needs `pip install 'jaxsim\[mirdata\]'`"):
        adapter.read(tmp_path, dataset="gtzan_genre")


def test_an_index_that_is_not_there(tmp_path, monkeypatch):
    core = pytest.importorskip("mirdata.core")
    monkeypatch.setattr(core.Index, "get_path", lambda self: str(tmp_path / "none.json"))
    with pytest.raises(FileNotFoundError, match=r"must be downloaded.*initialize\('ballroom'"):
        adapter.read(tmp_path, dataset="ballroom")
