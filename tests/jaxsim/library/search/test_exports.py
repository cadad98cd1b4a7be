"""Other systems give the same hits for the same weights."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import qdrant_client

from jaxsim.library import store
from jaxsim.library.search import exports, query
from jaxsim.library.store import connecting
from tests.helpers.libraries import random_vectors

WEIGHTS = [(1, 1, 1), (0.5, 2, -1), (0, 0, 1)]
ODD = {"title": "tab\there\\N", "artist": "line\nbreak", "album": "\\.", "year": 1999}


@pytest.fixture
def library(make_store: Callable[..., store.Store]) -> store.Store:
    opened = make_store(random_vectors(300), [ODD] + [{"tempo": float(i)} for i in range(299)])
    with connecting.transaction(connecting.connect(opened.path, write=True)) as connection:
        connection.execute("UPDATE tracks SET present = 0 WHERE row = 7")
    return store.open(opened.path)


def expected(library: store.Store, weights) -> tuple[np.ndarray, list[str], list[float]]:
    """The vector to search with, and what must be found: ids, and scores without offset."""
    w = query.weight_vector(library, weights)
    vector = query.vector(library, query.seed_vector(library, [5]), w)
    hits = query.search(library, [5], weights, top=10, include_seeds=True)
    scores = [hit.score - query.offset(library, w) for hit in hits]
    return vector, [library.ids[hit.row] for hit in hits], scores


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_npz(library: store.Store, tmp_path: Path, weights) -> None:
    exports.to_npz(library, tmp_path / "library.npz")
    with np.load(tmp_path / "library.npz") as file:
        ids, vectors = file["ids"], file["vectors"].astype(np.float64)
        assert file["dimensions"].tolist() == ["genre", "tempo", "key"]
        np.testing.assert_array_equal(file["deviation"], library.deviation)
        metadata = json.loads(str(file["metadata"]))
    assert [track["id"] for track in metadata] == ids.tolist() and len(ids) == 299
    vector, names, scores = expected(library, weights)
    found = vectors @ vector
    best = np.lexsort((ids, -found))[:10]
    assert ids[best].tolist() == names
    np.testing.assert_allclose(found[best], scores, atol=1e-12)


@pytest.mark.parametrize("weights", WEIGHTS, ids=str)
def test_pgvector(library: store.Store, tmp_path: Path, weights) -> None:
    """Reads the file by the rules of COPY; PostgreSQL itself is not needed."""
    exports.to_pgvector(library, tmp_path / "library.sql")
    extension, table, copy, *lines = (tmp_path / "library.sql").read_text().splitlines()
    assert extension == "CREATE EXTENSION IF NOT EXISTS vector;"
    assert table.startswith('CREATE TABLE jaxsim ("id" text PRIMARY KEY, "path" text, "title" text')
    assert table.endswith("embedding halfvec(12));") and lines.pop() == "\\."
    columns = re.findall(r'"(\w+)"', copy)
    escapes = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}
    rows = [
        {
            name: None if cell == "\\N" else re.sub(r"\\.", lambda m: escapes[m[0]], cell)
            for name, cell in zip(columns, line.split("\t"), strict=True)
        }
        for line in lines
    ]
    assert len(rows) == 299 and rows[0] | {**ODD, "year": "1999"} == rows[0]
    assert rows[1]["title"] == "1" and rows[1]["artist"] is None
    vector, names, scores = expected(library, weights)
    inner = {row["id"]: float(np.array(json.loads(row["embedding"])) @ vector) for row in rows}
    best = sorted(inner, key=lambda name: (-inner[name], name))[:10]
    assert best == names
    np.testing.assert_allclose([inner[name] for name in best], scores, atol=1e-6)


def test_qdrant(library: store.Store) -> None:
    client = qdrant_client.QdrantClient(":memory:")
    exports.to_qdrant(library, client)
    assert client.count("jaxsim").count == 299
    for weights in WEIGHTS:
        vector, names, scores = expected(library, weights)
        found = client.query_points("jaxsim", query=vector.tolist(), limit=10).points
        assert [point.payload["id"] for point in found] == names
        np.testing.assert_allclose([point.score for point in found], scores, atol=0.01)
    (point,) = client.retrieve("jaxsim", [exports.point_id("0000")])
    assert point.payload | ODD == point.payload
    with pytest.raises(ValueError, match="the collection 'jaxsim' already exists"):
        exports.to_qdrant(library, client)
