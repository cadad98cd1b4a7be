"""From a checkpoint to what a library says of a track's sound: every step as its user takes it."""

import json
from pathlib import Path

import numpy as np
import pytest

from input_pipeline.datasets import dataset
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.readings import of_features
from jaxsim import export, search
from jaxsim.exported import numpy_model, readings
from jaxsim.library.intake import heard
from jaxsim.library.intake.embedding import Embedder
from jaxsim.library.store import writing
from jaxsim.library.store.entries import Entry

NAMES = {"genre": ("jazz", "pop", "rock"), "mood": ("happy", "sad")}


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.sqrt((vectors**2).sum(axis=-1, keepdims=True))


@pytest.fixture(scope="module")
def exported(
    finished: Path, prepared_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Of a run of four steps on four tracks, of which two share a tag."""
    out = tmp_path_factory.mktemp("exported") / "model.npz"
    flags = [f"--checkpoint={finished}", f"--out={out}", f"--readings={prepared_directory}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readings, "FEWEST", 2)
        export.main(flags)
    return out


@pytest.fixture(scope="module")
def by_numpy(exported: Path, prepared_directory: Path) -> tuple[dataset.DataSet, np.ndarray]:
    """The training tracks, and their embeddings [N, S, D] by NumPy's network alone."""
    data = dataset.open(prepared_directory, "train", FeatureConfig())
    model = numpy_model.load(exported)
    vectors = []
    for row in range(len(data)):
        arrays = data.stored(row)
        vector = model.embed_track(arrays["mel"], arrays["cens"], arrays["onset"])
        vectors.append(vector.astype(np.float64).reshape(len(model.dimensions), -1))
    return data, unit(np.array(vectors))


def write_library(
    exported: Path, data: dataset.DataSet, vectors: np.ndarray, folder: Path
) -> list[dict]:
    """A store of these tracks; returns what was read of each."""
    model, config = numpy_model.load(exported), data.feature_config
    found = []
    with writing.open(folder, Embedder(exported).description(), exported.read_bytes()) as writer:
        for row, vector in enumerate(vectors.reshape(len(vectors), -1)):
            stored = data.stored(row)
            seen = of_features(stored, config.frame_rate)
            found.append(heard.columns(model, vector, seen))
            writer.add(
                [
                    Entry(
                        path=f"/music/{row}.wav",
                        track_id=data.track_ids[row],
                        given={"title": data.titles[row]},
                        size=1,
                        modified=1,
                        digest=str(row),
                        tags={},
                        seconds=6.0,
                        vector=vector,
                        heard=found[-1],
                    )
                ]
            )
        writer.measure_cosines()
    return found


def test_prototypes_are_the_means_of_what_numpy_embeds(exported: Path, by_numpy: tuple) -> None:
    model, (data, vectors) = numpy_model.load(exported), by_numpy
    assert {name: own.names for name, own in model.readings.items()} == NAMES
    for number, dimension in enumerate(model.dimensions):
        for place, tag in enumerate(NAMES[dimension]):
            has_tag = data.tags[dimension][:, data.tag_names[dimension].index(tag)]
            assert has_tag.sum() == 2
            mean = vectors[has_tag, number].mean(axis=0)
            found = model.readings[dimension].prototypes[place]
            np.testing.assert_allclose(found, unit(mean), atol=2e-3)  # float16


def test_a_library_describes_its_tracks(
    exported: Path, by_numpy: tuple, track_rows: tuple, tmp_path: Path, capsys
) -> None:
    data, vectors = by_numpy
    read = write_library(exported, data, vectors, tmp_path / "store")
    model = numpy_model.load(exported)
    for row, title in enumerate(data.titles):
        capsys.readouterr()
        search.main(["describe", str(tmp_path / "store"), title])
        said = capsys.readouterr().out
        assert f"tempo: {read[row]['heard_tempo']:.1f} BPM" in said
        octaves = np.log2(read[row]["heard_tempo"] / data.tempo[row])
        assert abs(octaves - round(octaves)) < np.log2(1.04), "these pulse at their tempo"
        assert f"key: {read[row]['heard_key']}, " in said
        own, number = model.readings["mood"], model.dimensions.index("mood")
        cosines = own.prototypes.astype(float) @ vectors[row, number]
        chances = 1 / (1 + np.exp(-(own.slope * cosines + own.offset)))
        for tag, chance in zip(own.names, chances, strict=True):
            assert (f"{tag} {chance:.2f}" in said) == (chance >= heard.LEAST)

    # The same file, heard by the library's own way, reads the same.
    folder, rows = track_rows
    row = data.titles.index(rows[0]["title"])
    _, from_audio = Embedder(exported).heard(folder / rows[0]["path"])
    assert from_audio["key"] == read[row]["heard_key"]
    assert from_audio["tempo"] == pytest.approx(read[row]["heard_tempo"], rel=0.005)
    for dimension, tags in json.loads(read[row]["heard_tags"]).items():
        assert from_audio["tags"][dimension] == pytest.approx(tags, abs=0.02)


def test_searches_by_file_and_in_words_say_why(
    exported: Path, by_numpy: tuple, track_rows: tuple, tmp_path: Path, capsys
) -> None:
    folder, rows = track_rows
    store = str(tmp_path / "store")
    read = write_library(exported, *by_numpy, tmp_path / "store")
    for like, tempo in ((str(folder / rows[0]["path"]), True), ("mood:sad genre:jazz", False)):
        capsys.readouterr()
        search.main([store, "--like", like, "--json"])
        found = json.loads(capsys.readouterr().out)
        assert len(found) == len(read)
        for hit in found:
            named = max(hit["contributions"], key=lambda name: abs(hit["contributions"][name]))
            assert named in hit["reason"]
            assert ("both" in hit["reason"]) <= tempo, "words are no track"
    search.main([store, "--like", "mood:sad", "--explain"])
    assert "mood" in capsys.readouterr().out
