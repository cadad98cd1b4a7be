"""One hit per recording, however many files there are of it."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jaxsim.library import store
from jaxsim.library.search import hits, paths, query, versions
from jaxsim.library.store import Store, writing
from jaxsim.library.store.entries import Entry
from tests.helpers.libraries import describe, entry, random_vectors

COUNT = 40


@pytest.fixture
def library(tmp_path: Path) -> Store:
    """Tracks 0 to 39, and versions of some: 100 and 101 of 0, 110 of 1; 120 is only like 2."""
    vectors = random_vectors(COUNT)
    random = np.random.default_rng(1)
    near = random.normal(size=(3, 12)) * 0.01
    entries = [entry(n, vector) for n, vector in enumerate(vectors)]
    entries += [
        entry(100, vectors[0] + near[0]),
        dataclasses.replace(entry(101, vectors[30]), fingerprint="same"),
        entry(110, vectors[1] + near[1]),
        dataclasses.replace(entry(120, vectors[2] + near[2]), seconds=16.0),
    ]
    entries[0] = dataclasses.replace(entries[0], fingerprint="same")
    entries[30] = dataclasses.replace(entries[30], seconds=20.0)
    with writing.open(tmp_path / "store", describe(), b"model") as writer:
        writer.add([_normalised(one) for one in entries])
        writer.measure_cosines()
    return store.open(tmp_path / "store")


def _normalised(one: Entry) -> Entry:
    parts = one.vector.reshape(3, 4)
    length = np.linalg.norm(parts, axis=1, keepdims=True)
    return dataclasses.replace(one, vector=(parts / length).ravel())


def row(library: Store, number: int) -> int:
    found = library.row_of(f"{number:04d}")
    assert found is not None
    return found


def test_versions_are_found_by_audio_or_by_likeness_and_length(library: Store) -> None:
    numbers = [0, 1, 2, 30, 100, 101, 110, 120]
    rows = np.array([row(library, number) for number in numbers])
    first = [numbers[position] for position in versions.originals(library, rows)]
    assert first == [0, 1, 2, 30, 0, 0, 1, 120]


def test_the_best_version_stands_for_all(library: Store) -> None:
    seed = [row(library, 5)]
    every = [hit.row for hit in query.search(library, seed, top=COUNT + 4)]
    folded = query.search(library, seed, top=COUNT + 4, fold=True)
    ranks = {one: rank for rank, one in enumerate(every)}
    assert [ranks[hit.row] for hit in folded] == sorted(ranks[hit.row] for hit in folded)
    groups = {frozenset((hit.row, *hit.versions)) for hit in folded if hit.versions}
    assert groups == {
        frozenset(row(library, n) for n in (0, 100, 101)),
        frozenset(row(library, n) for n in (1, 110)),
    }
    for hit in folded:
        assert all(ranks[hit.row] < ranks[other] for other in hit.versions)
    assert sum(1 + len(hit.versions) for hit in folded) == len(every)
    described = hits.as_json(library, folded)
    listed = [one["versions"] for one in described if one["track"]["id"] in ("0001", "0110")]
    assert listed in ([["0110"]], [["0001"]])


def test_as_many_hits_as_without_versions(library: Store) -> None:
    for top in (1, 5, 20, 38):
        found = query.search(library, [row(library, 5)], top=top, fold=True, max_per_album=50)
        assert len(found) == top


def test_a_seed_is_not_found_in_another_version(library: Store) -> None:
    rows = {row(library, n) for n in (0, 100, 101)}
    for seed in rows:
        found = query.search(library, [seed], top=50, fold=True)
        assert not rows & {hit.row for hit in found}
    uploaded = np.asarray(library.vectors[row(library, 0)], np.float64)
    (best,) = query.search(library, [uploaded], top=1, fold=True)
    assert best.row in rows  # an upload is found in the library


def test_a_playlist_has_every_recording_once(library: Store) -> None:
    for start, end in ((0, 1), (5, 1), (100, 6)):
        steps = paths.find(library, row(library, start), row(library, end), length=20)
        rows = np.array([step.row for step in steps])
        assert versions.originals(library, rows) == list(range(20))


@pytest.mark.parametrize(("beyond", "alike"), [(0.004, True), (-0.004, False)])
def test_how_near_versions_are_in_every_sub_space(tmp_path: Path, beyond: float, alike: bool):
    """At least 0.94 as a cosine, and at most 0.06 of the distance of random tracks."""
    vectors = random_vectors(COUNT).reshape(COUNT, 3, 4)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)

    def opened(part: int, cosine: float) -> Store:
        one, other = vectors[0].copy(), vectors[1, part]
        across = other - (other @ one[part]) * one[part]
        across /= np.linalg.norm(across)
        one[part] = cosine * one[part] + np.sqrt(1 - cosine**2) * across
        entries = [entry(n, vector.ravel()) for n, vector in enumerate([*vectors, one])]
        folder = tmp_path / f"{part} {cosine}"
        with writing.open(folder, describe(), b"model") as writer:
            writer.add(entries)
            writer.measure_cosines()
        return store.open(folder)

    for part in range(3):
        mean = opened(part, 0.95).mean[part]
        library = opened(part, max(0.94, 1 - 0.06 * (1 - mean)) + beyond)
        rows = np.array([row(library, 0), row(library, COUNT)])
        assert versions.originals(library, rows) == [0, 0 if alike else 1]
