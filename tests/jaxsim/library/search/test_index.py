"""The approximate index finds what the scan finds, and says when it cannot."""

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from jaxsim.library import store
from jaxsim.library.search import index, query
from jaxsim.library.store import writing
from jaxsim.network import subspaces
from tests.helpers.libraries import describe, entry, random_vectors

MakeStore = Callable[..., store.Store]


@pytest.fixture
def library(make_store: MakeStore) -> store.Store:
    metadata = [{"artist": f"artist {i % 7}", "tempo": float(i)} for i in range(2000)]
    opened = make_store(random_vectors(2000), metadata)
    index.build(opened)
    return opened


def rows(hits: list[query.Hit]) -> list[int]:
    return [hit.row for hit in hits]


def recall(searched: index.Index, weights: tuple[float, ...], width: int | None = None) -> float:
    """Share of the exact first ten that the index finds."""
    shares = []
    for seed in range(0, 2000, 50):
        exact = query.search(searched.store, [seed], weights, top=10)
        hits = searched.search([seed], weights, top=10, width=width)
        assert len(hits) == 10 and all(h.contributions.sum() == h.score for h in hits)
        shares.append(len(set(rows(hits)) & set(rows(exact))) / 10)
    return float(np.mean(shares))


@pytest.mark.parametrize("weights", [(1, 1, 1), (4, 1, 1), (0, 0, 1)], ids=str)
def test_recall(
    library: store.Store, weights: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A width far below the number of tracks; single dimensions need the wider search they get."""
    monkeypatch.setattr(index, "WIDTH", 128)
    assert recall(index.Index(library), weights) > 0.95


def test_a_narrow_search_misses_much(library: store.Store) -> None:
    """Or `test_recall` would pass whatever the width."""
    searched = index.Index(library)
    assert recall(searched, (0, 0, 1), width=10) < 0.6
    assert 0.6 < recall(searched, (0, 0, 1), width=128) < 0.93


@pytest.mark.parametrize("weights", [(1, -1, 0.5), (0, 0, 0)], ids=str)
def test_negative_weights_are_scanned(
    library: store.Store, weights: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = index.Index(library)
    monkeypatch.setattr(searched, "nearest", None)
    exact = query.search(library, [3], weights, top=7)
    assert rows(searched.search([3], weights, top=7)) == rows(exact)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"where": "tempo<12"},
        {"max_per_artist": 1},
        {"max_per_album": 1},
        {"exclude": range(1990)},
    ],
    ids=str,
)
def test_too_few_candidates_are_no_answer(
    library: store.Store, options: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched = index.Index(library)
    exact = rows(query.search(library, [3], top=7, **options))
    monkeypatch.setattr(searched, "nearest", lambda *_: np.sort(exact[1:]))
    assert rows(searched.search([3], top=7, **options)) == exact


def test_what_the_graph_cannot_find_is_scanned(library: store.Store) -> None:
    searched = index.Index(library)
    vector = query.vector(library, query.seed_vector(library, [3]), np.ones(3))
    found = searched.nearest(vector, 64, 64)
    assert len(found) == 64 and np.sum(found < 12) < 7, "the graph alone must find too few"
    exact = query.search(library, [3], top=7, where="tempo<12")
    assert rows(searched.search([3], top=7, where="tempo<12", width=64)) == rows(exact)


def test_width_follows_the_skew() -> None:
    equal = index.search_width(np.ones(6))
    assert equal == index.search_width(7 * np.ones(6)) == index.WIDTH
    single = index.search_width(np.eye(6)[2])
    assert single == 6 * index.WIDTH
    assert equal < index.search_width(np.array([4, 1, 1, 1, 1, 1])) < single
    assert index.search_width(np.zeros(6)) == index.WIDTH


def test_measure(library: store.Store) -> None:
    table = index.measure(index.Index(library), queries=20, top=5)
    chosen = [row for row in table if "(chosen)" in row.weights]
    names = [row.weights.removesuffix(" (chosen)") for row in chosen]
    assert names == ["equal", "genre times 4", "genre alone", "tempo alone", "key alone"]
    assert all(0.95 <= row.recall <= 1 and row.index_ms > 0 for row in chosen)
    (narrow,) = (row for row in table if (row.weights, row.width) == ("key alone", 64))
    assert 0.2 < narrow.recall < 0.9, "a narrow search misses some, and the table says so"


def test_refuses_an_index_of_another_state(library: store.Store) -> None:
    with writing.open(library.path, describe(), b"model") as writer:
        writer.add([entry(2000, subspaces.normalised(random_vectors(1), 3)[0])])
    index.Index(library)  # the snapshot is as it was
    with pytest.raises(ValueError, match="library has changed; rebuild the index with"):
        index.Index(store.open(library.path))
    (library.path / "index.json").unlink()
    with pytest.raises(FileNotFoundError, match="has no index; build it with"):
        index.Index(library)


def test_what_embeds_can_be_loaded_after_it() -> None:
    """USearch before ONNX Runtime ends a process, whichever of them a program imports first."""
    code = "from jaxsim.library.search import index\nfrom jaxsim.library.intake import embedding"
    subprocess.run([sys.executable, "-c", code], check=True)
