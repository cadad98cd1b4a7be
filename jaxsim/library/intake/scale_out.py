"""Embeds files on many machines with Apache Beam: each worker writes parts, which are then read.

A part holds what is known of some files: everything but their features, which stay where they were
extracted. It is written completely or not at all, so an interrupted run takes what is there.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import zipfile
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.datasets import scale_out
from input_pipeline.files import replacing
from jaxsim.library.intake.embedding import Embedder, Features
from jaxsim.library.intake.examination import Examined, examine, size_and_time
from jaxsim.library.store import MODEL

PART_FILES = 64  # of which one worker writes a part; bounds the memory of both sides
File = tuple[str, frozenset[str]]  # path, and digests whose features are not needed
FIELDS = [
    field.name
    for field in dataclasses.fields(Examined)
    if field.name not in ("features", "evidence")
]


@dataclasses.dataclass(frozen=True, eq=False)
class Embedded:
    """A file as a worker has embedded it.

    Attributes:
      found: without features and evidence.
      vector: its embedding float32 [E]; None if its content is known or unusable.
      heard: what was read from it, the columns `schema.HEARD`.
    """

    found: Examined
    vector: np.ndarray | None
    heard: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Job:
    """How files are embedded; picklable.

    Attributes:
      folder: for the parts and the model; every worker must see it, and the files.
      identity: what else than a file's content determines its embedding; parts of another one are
        not used.
      seconds, max_seconds: see `examination.examine`.
    """

    folder: Path
    identity: str
    seconds: float | None
    max_seconds: float

    def part(self, files: Sequence[File]) -> Path:
        """The part of these files."""
        named = repr((self.identity, [path for path, _ in files]))
        name = hashlib.blake2b(named.encode(), digest_size=16).hexdigest()
        return self.folder / f"part-{name}.npz"


def folder_of(store: Path) -> Path:
    """Where the parts for a store are, beside it, until all of them are in it."""
    store = store.absolute()
    return store.parent / f".{store.name}.parts"


def embed_all(
    files: Sequence[File],
    folder: Path,
    embedder: Embedder,
    options: Sequence[str],
    *,
    heard_by: str,
    max_seconds: float,
) -> Iterator[Embedded]:
    """Embeds files in a Beam pipeline, and yields what was found of each.

    Args:
      files: what to embed.
      folder: for the parts; made if it is not there.
      embedder: with which.
      options: of the pipeline, such as --runner.
      heard_by: what the reason of an unusable file depends on besides the file.
      max_seconds: see `examination.examine`.

    Raises:
      ImportError: Apache Beam is not installed.
      ValueError: a worker's part is not there afterwards.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / MODEL) as file:
        file.write(embedder.file)
    identity = f"{embedder.digest}, {embedder.seconds} s, {heard_by}"
    job = Job(folder.absolute(), identity, embedder.seconds, max_seconds)
    held = _held(files, job)
    done = set().union(*held.values())
    missing = [file for file in files if file[0] not in done]
    tasks = [missing[i : i + PART_FILES] for i in range(0, len(missing), PART_FILES)]
    if tasks:
        scale_out.for_each(functools.partial(_write_part, job=job), tasks, options)
    for part, paths in held.items():
        yield from _chosen(part, job, paths)
    for task in tasks:
        if (found := _read(job.part(task), job)) is None:
            raise ValueError(f"{job.part(task)}: missing; every worker must see {job.folder}")
        yield from found


def _held(files: Sequence[File], job: Job) -> dict[Path, set[str]]:
    """The parts that an earlier run has left, and which of the files are in each as they are."""
    wanted = {path for path, _ in files}
    held: dict[Path, set[str]] = {}
    for part in sorted(job.folder.glob("part-*.npz")):
        same = {one.found.path for one in _read(part, job) or () if _is_settled(one)} & wanted
        if same:
            held[part] = same
            wanted -= same
    return held


def _is_settled(one: Embedded) -> bool:
    """Whether a file is what it was; and not a copy of a known one, which may be forgotten."""
    has_result = one.vector is not None or bool(one.found.reason)
    return has_result and (one.found.size, one.found.modified) == size_and_time(one.found.path)


def _chosen(part: Path, job: Job, paths: Container[str]) -> Iterator[Embedded]:
    return (one for one in _read(part, job) or () if one.found.path in paths)


def _write_part(files: Sequence[File], job: Job) -> None:
    """Embeds the files of a part and writes it, unless it is there."""
    if _read(job.part(files), job) is not None:
        return
    embedder = _embedder(job.folder / MODEL, job.seconds)
    all_found: list[Examined] = []

    def new() -> Iterator[tuple[int, Features]]:
        for path, known in files:
            found = examine(
                path,
                embedder.feature_config,
                seconds=job.seconds,
                known=known,
                max_seconds=job.max_seconds,
            )
            all_found.append(dataclasses.replace(found, features=None))
            if found.features is not None:
                yield len(all_found) - 1, found.features

    vectors = dict(embedder.stream(new()))
    rows = [{name: getattr(found, name) for name in FIELDS} for found in all_found]
    for number, vector in vectors.items():
        rows[number]["heard"] = embedder.read(vector, all_found[number].evidence)
    with replacing(job.part(files)) as file:
        np.savez(
            file,
            allow_pickle=False,
            identity=job.identity,
            files=np.frombuffer(json.dumps(rows).encode(), np.uint8),
            rows=np.array(list(vectors), np.int64),
            vectors=np.array(list(vectors.values()), np.float32),
        )


@functools.lru_cache(maxsize=1)
def _embedder(model: Path, seconds: float | None) -> Embedder:
    return Embedder(model, seconds=seconds)


def _read(part: Path, job: Job) -> list[Embedded] | None:
    """What a part holds; None if it is not there, damaged or of another job."""
    with contextlib.suppress(OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        with np.load(part, allow_pickle=False) as file:
            if str(file["identity"]) != job.identity:
                return None
            vectors = dict(zip(file["rows"].tolist(), file["vectors"], strict=True))
            rows = json.loads(file["files"].tobytes())
        heard = [row.pop("heard", {}) for row in rows]
        return [
            Embedded(Examined(**row), vectors.get(number), heard[number])
            for number, row in enumerate(rows)
        ]
    return None
