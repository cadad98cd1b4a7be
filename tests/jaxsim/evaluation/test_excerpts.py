"""Where excerpts lie in their tracks, and what of a track they contain."""

import dataclasses

import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.six_dim import get_config
from input_pipeline.hearing.segments import segments
from jaxsim.evaluation import (
    comparison,
    excerpt_retrieval,
    excerpts,
    metrics,
    systems,
    track_embeddings,
)
from jaxsim.evaluation.retrieval_section import retrieval_section
from jaxsim.network import subspaces
from tests.helpers.batches import fake_data

RATE = 22050 / 512  # frames per second


def data_of(*num_frames: int):
    return fake_data(len(num_frames), num_frames=np.array(num_frames, np.int32))


@pytest.mark.parametrize(
    ("length", "seconds", "frames", "starts"),
    [
        (2000, 7.0, 301, (349, 1350)),  # around frames 500 and 1500
        (603, 7.0, 301, (0, 302)),
        (601, 7.0, 300, (0, 301)),  # half of it each
        (516, 30.0, 258, (0, 258)),  # the shortest with two segments in both
    ],
)
def test_excerpts_are_around_a_quarter_and_three(length, seconds, frames, starts) -> None:
    cut = excerpts.cut(data_of(length), seconds=seconds)
    assert cut.frames.tolist() == [frames]
    assert cut.start.tolist() == [list(starts)]
    middle = cut.start[0] + frames / 2
    np.testing.assert_allclose(middle / length, [0.25, 0.75], atol=1 / length)
    assert cut.start[0, 0] >= 0 and cut.start[0].sum() + frames <= length, "as far from both ends"


def test_short_tracks_are_left_out() -> None:
    """Two segments in each half, or one if that is what an excerpt holds."""
    data = data_of(515, 600, 257, 258, 2000)
    assert excerpts.cut(data, seconds=30).track.tolist() == [1, 4]
    assert excerpts.cut(data, seconds=4).track.tolist() == [0, 1, 3, 4]
    described = excerpts.described(data, excerpts.cut(data, seconds=30))
    assert (described["tracks"], described["left_out"]) == (2, 3)
    assert described["cut"]["1"] == {"start": [0, round(300 / RATE, 3)], "seconds": 6.966}
    assert len(excerpts.cut(data_of(129), seconds=30)) == 0


def test_of_many_tracks_some_are_taken_evenly() -> None:
    data = data_of(*[600] * 4, 129, *[600] * 5)
    assert excerpts.cut(data, seconds=3, at_most=3).track.tolist() == [0, 3, 7]
    assert len(excerpts.cut(data, seconds=3, at_most=9)) == 9


def test_an_excerpt_shorter_than_a_segment_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--excerpt is 2.9, expected at least 3 s \(a segment\)"):
        excerpts.cut(data_of(600), seconds=2.9)


@pytest.mark.parametrize("batch_size", [3, 64])
def test_segments_of_excerpts_know_nothing_of_the_rest_of_their_track(batch_size: int) -> None:
    """Each value tells its track and frame; onsets are padded as at the ends of a recording."""
    data = data_of(600, 129, 1400)
    cut = excerpts.cut(data, seconds=6.5)
    found = list(excerpts.segment_batches(data, cut, batch_size=batch_size))
    assert all(len(batch["mel"]) == batch_size for batch in found)
    joined = {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}
    number = joined["excerpt"]
    rows = np.flatnonzero(number >= 0)
    assert number[rows].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    expected = {name: [] for name in joined}
    for k, (track, frames) in enumerate(zip(cut.track, cut.frames, strict=True)):
        for place, start in enumerate(cut.start[k]):
            frame = np.arange(start, start + frames)
            mel = np.broadcast_to(track + frame[:, None] / 1024, (frames, 128)).astype(np.float16)
            # The fake data set's onsets begin half a window before the crop.
            onset = np.float32(1000 * track + frame + 192)
            arrays = {"mel": mel, "cens": mel[:, :12], "onset": onset}
            for name, values in segments(arrays, data.feature_config).items():
                expected[name] += list(values)
            expected["excerpt"] += [2 * k + place] * (frames // 129)
    for name, values in expected.items():
        np.testing.assert_array_equal(joined[name][rows], values, err_msg=name)
    assert not joined["mel"][len(rows) :].any()


def test_an_excerpt_is_the_mean_of_its_segments() -> None:
    config = ConfigDict(
        {"dimensions": ("genre", "key"), "loss": {"method": "triplet", "disentangled": True}}
    )
    data = data_of(600, 1400)
    cut = excerpts.cut(data, seconds=7.0)

    def embed(batch) -> np.ndarray:
        first = np.asarray(batch["mel"][:, 0, 0], np.float64)
        return np.stack([first, 1 - first, first**2, 1 + first], axis=1)

    found = track_embeddings.embed_excerpts(config, data, cut, embed, batch_size=3)
    assert found.shape == (2, 2, 2, 2)
    for k in range(2):
        for place in range(2):
            first = [
                np.float64(np.float16(k + start / 1024))
                for start in cut.start[k, place] + np.array([0, 129])
            ]
            mean = np.mean([[x, 1 - x, x**2, 1 + x] for x in first], axis=0).reshape(2, 2)
            mean /= np.sqrt((mean**2).sum(axis=1, keepdims=True))
            np.testing.assert_allclose(found[k, place], mean, rtol=1e-6)


def test_excerpts_are_searched_by_tags_without_tempo_and_key(monkeypatch) -> None:
    monkeypatch.setattr(comparison, "_map", lambda system, data: {})
    monkeypatch.setattr(metrics, "RESAMPLES", 10)
    data = data_of(*[600] * 8)
    random = np.random.default_rng(5)
    vectors = subspaces.normalised(random.normal(size=(16, 12)), 4).reshape(8, 2, 4, 3)
    tracks, known = vectors.mean(axis=1), np.ones(8, bool)
    system = systems.System(
        "divided",
        ("tempo", "era", "key", "mood"),
        tracks,
        known,
        tracks,
        known,
        excerpts={"test": vectors},
    )
    results = comparison.compare(
        [system], data, data, config=get_config(), count=8, cut=excerpts.cut(data, seconds=3)
    )
    found = results["systems"]["divided"]["excerpts"]["spaces"]
    flat, track = vectors.reshape(16, 4, 3), np.repeat(np.arange(8), 2)
    for space, columns in (("search", [0, 1, 2, 3]), ("search by tags", [1, 3])):
        points = excerpt_retrieval.search_points(flat[:, columns])
        expected = excerpt_retrieval.outcomes(points, track, track)[:, 0].mean()
        assert found[space]["track"]["value"] == pytest.approx(expected)
    assert found["search"]["track"]["value"] != found["search by tags"]["track"]["value"]


def test_differences_are_of_the_queries_that_both_systems_answer(monkeypatch) -> None:
    """The second system knows less of every track, and nothing of one."""
    monkeypatch.setattr(comparison, "_map", lambda system, data: {})
    data = dataclasses.replace(data_of(*[600] * 12), groups=list("aabbccddeeff"))
    random = np.random.default_rng(6)
    of_tracks = random.normal(size=(12, 1, 1, 8)) + np.repeat(
        random.normal(size=(6, 1, 1, 8)), 2, 0
    )
    noise = random.normal(size=(12, 2, 1, 8))
    given = {"clear": of_tracks + 0.1 * noise, "noisy": of_tracks + noise}
    given["noisy"][5] = np.nan
    compared = []
    for name, vectors in given.items():
        known = ~np.isnan(vectors).any(axis=(1, 2, 3))
        tracks = np.nan_to_num(vectors.mean(axis=1))
        system = systems.System(name, (), tracks, known, tracks, known, excerpts={"test": vectors})
        compared.append(system)
    compared.append(systems.System("without", (), tracks, known, tracks, known))
    results = comparison.compare(
        compared, data, data, config=get_config(), count=8, cut=excerpts.cut(data, seconds=3)
    )
    found = results["excerpt_differences"]
    assert list(found) == ["noisy", "without"] and found["without"] == {}
    answers = {}
    for name, vectors in given.items():
        rows = np.repeat(~np.isnan(vectors).any(axis=(1, 2, 3)), 2)
        track, group = np.repeat(np.arange(12), 2), np.repeat(np.arange(6), 4)
        points = subspaces.normalised(vectors.reshape(24, 8)[rows], 1)
        answers[name] = np.full((24, 4), np.nan)
        answers[name][rows] = excerpt_retrieval.outcomes(points, track[rows], group[rows])
    expected = np.nanmean(answers["clear"] - answers["noisy"], axis=0)
    assert np.isnan(answers["noisy"][8:10, [1, 3]]).all(), "the other track of its group is missing"
    for score, value in zip(found["noisy"]["cosine"].values(), expected, strict=True):
        assert score["value"] == pytest.approx(value)
        assert score["low"] < value < score["high"]
    assert found["noisy"]["cosine"]["R@1 track"]["low"] > 0
    (section,) = retrieval_section(results)
    (table,) = (table for title, table in section.tables if title.startswith("Differences"))
    assert table.headings[:2] == ["clear, against", "space"]
    row = table.rows[0]
    assert row[:2] == ["noisy", "cosine"] and "R@1 track" in row[2] and row[4] == "none"


def test_a_constant_column_of_other_embeddings_says_nothing(tmp_path) -> None:
    """Standardised, it is 0 whatever the vectors' lengths are."""
    data = data_of(600, 700, 800, 900)
    cut = excerpts.cut(data, seconds=6)
    random = np.random.default_rng(4)
    given = random.normal(size=(4, 2, 5)) * random.uniform(1, 9, (4, 2, 1))
    given[..., 2] = 3.0
    names = [excerpts.excerpt_names(track_id) for track_id in data.track_ids]
    arrays = {names[i][j]: given[i, j] for i in range(4) for j in range(2)}
    np.savez(tmp_path / "other.npz", **arrays)
    found = systems.external(
        tmp_path / "other.npz", {"train": data, "test": data}, {"test": cut}
    ).excerpts["test"]
    np.testing.assert_allclose(found, given[:, :, None])
    standard = excerpt_retrieval.z_scored(found.reshape(8, 5))
    assert not standard[:, 2].any()
    np.testing.assert_allclose(standard.std(axis=0)[[0, 1, 3, 4]], 1.0)
