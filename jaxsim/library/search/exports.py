"""Exports a library to other systems: NumPy, PostgreSQL with pgvector, Qdrant.

Each gets one vector per track, as stored, to be compared by inner product. A weighted search there
is a search for the vector that `query.vector` returns. It finds the same hits as here, in the same
order; the score is the inner product plus `query.offset`.
"""

import json
import math
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from input_pipeline.files import replacing
from jaxsim.library.store import METADATA, NUMBERS, Store

if TYPE_CHECKING:
    import qdrant_client

BLOCK = 1000  # tracks at a time
COLLECTION = TABLE = "jaxsim"


def to_npz(store: Store, path: str | Path) -> None:
    """Writes an `.npz`, completely or not at all.

    It holds ids [N] and vectors float16 [N, E] in the same order; dimensions, mean and deviation
    [S], see `jaxsim.library.search.query`; and metadata, the tracks' metadata as JSON text in the
    same order.
    """
    with replacing(Path(path)) as file:
        np.savez(
            file,
            allow_pickle=False,
            ids=np.array([str(name) for name in store.ids[store.rows]]),
            vectors=np.asarray(store.vectors[store.rows]),
            dimensions=np.array(store.dimensions),
            mean=store.mean,
            deviation=store.deviation,
            metadata=np.array(json.dumps(store.metadata(store.rows))),
        )


def to_pgvector(store: Store, path: str | Path) -> None:
    """Writes SQL for `psql --file`: a table with the metadata and a `halfvec`, and its rows.

    A weighted search is `SELECT id FROM jaxsim ORDER BY embedding <#> '[...]', id LIMIT 10`, where
    `<#>` is the negative inner product. Needs pgvector 0.7 or newer.
    """
    with replacing(Path(path)) as file:
        for line in _sql_lines(store):
            file.write(f"{line}\n".encode())


def _sql_lines(store: Store) -> Iterator[str]:
    types = {name: "double precision" if name in NUMBERS else "text" for name in METADATA}
    types["id"] = "text PRIMARY KEY"
    columns = ", ".join(f'"{name}" {kind}' for name, kind in types.items())
    names = ", ".join(f'"{name}"' for name in (*METADATA, "embedding"))
    yield "CREATE EXTENSION IF NOT EXISTS vector;"
    yield f"CREATE TABLE {TABLE} ({columns}, embedding halfvec({store.embedding_size}));"
    yield f"COPY {TABLE} ({names}) FROM stdin;"
    for rows, tracks in _blocks(store):
        for row, track in zip(rows, tracks, strict=True):
            vector = ",".join(f"{value:.9g}" for value in store.vectors[row].tolist())
            yield "\t".join([*(_cell(track[name]) for name in METADATA), f"[{vector}]"])
    yield "\\."


def _cell(value: Any) -> str:
    """A value in the text form of PostgreSQL's COPY."""
    if value is None:
        return "\\N"
    escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": " "})
    return str(value).translate(escapes)


def to_qdrant(
    store: Store, client: "qdrant_client.QdrantClient", *, collection: str = COLLECTION
) -> None:
    """Fills a new collection: the track's metadata is the payload, its id is `point_id(id)`.

    Raises:
      ValueError: the collection already exists.
    """
    from qdrant_client import models

    if client.collection_exists(collection):
        raise ValueError(f"Qdrant: the collection {collection!r} already exists; delete it first")
    client.create_collection(
        collection,
        vectors_config=models.VectorParams(
            size=store.embedding_size,
            distance=models.Distance.DOT,  # the weights are on the query: no normalisation
            datatype=models.Datatype.FLOAT16,
        ),
    )
    for rows, tracks in _blocks(store):
        vectors = np.asarray(store.vectors[rows], np.float32).tolist()
        points = [
            models.PointStruct(id=point_id(track["id"]), vector=vector, payload=track)
            for track, vector in zip(tracks, vectors, strict=True)
        ]
        client.upsert(collection, points)


def point_id(track_id: str) -> str:
    """A UUID made from the track's id, since Qdrant's ids are UUIDs."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"jaxsim:{track_id}"))


def _blocks(store: Store) -> Iterator[tuple[np.ndarray, list[dict[str, Any]]]]:
    for number in range(math.ceil(len(store) / BLOCK)):
        rows = store.rows[number * BLOCK : (number + 1) * BLOCK]
        yield rows, store.metadata(rows)
