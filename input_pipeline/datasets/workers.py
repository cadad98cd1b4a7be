"""Analyses many tracks in worker processes: features and estimates, one file per track.

Workers unpickle functions of this module, so nothing here imports TensorFlow or JAX.
"""

import dataclasses
import functools
import hashlib
import pickle
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import filelock
import numpy as np

from input_pipeline.cache import cache_directory
from input_pipeline.datasets import pool
from input_pipeline.files import replacing
from input_pipeline.hearing import features, tagging
from input_pipeline.hearing.audio import UnusableTrack, check_file
from input_pipeline.hearing.estimates import BY_TAGGER, LABELS, Estimate
from input_pipeline.hearing.listening import Audio, listen
from input_pipeline.tracks import Track


@dataclasses.dataclass(frozen=True)
class Kept:
    """What the existing data set has of a track.

    Attributes:
      content: digest of the audio; empty if it does not have the track.
      estimates: which of `LABELS` it has estimates of.
    """

    content: str = ""
    estimates: tuple[str, ...] = ()


NOTHING = Kept()
Task = tuple[Track, Kept]


ANNOTATION = ("tempo", "tempo_confidence", "key", "key_confidence")  # as files have it


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What was heard in a track.

    Attributes:
      content: digest of the audio; see `digest`.
      arrays: the features as `features.extract` gives them; empty if the existing data set has
        them.
      seconds: duration of the audio.
      estimate: tempo and key, if requested and unknown; tags and segments, if requested.
      note: what is odd about the audio, although it can be used.
    """

    content: str
    arrays: dict[str, np.ndarray]
    seconds: float
    estimate: Estimate
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Job:
    """How tracks are analysed; picklable.

    Attributes:
      folder: for the analyses, one file per track; every worker must see it.
      feature_config: how to extract features.
      feature_version: of `features`; analyses by another version are not used.
      estimate: which of "tempo" and "key" to estimate where they are unknown; and "tags" and
        "segments", to have every track heard by the tagger.
      tagger: hears the tags, of the track and of its segments.
    """

    folder: Path
    feature_config: features.FeatureConfig
    estimate: tuple[str, ...]
    feature_version: int = features.FEATURE_VERSION
    tagger: tagging.Tagger | None = None

    def path(self, track_id: str, suffix: str = "npz") -> Path:
        """The file with a track's analysis ("npz"), or with the reason it is unusable ("txt")."""
        name = hashlib.blake2b(track_id.encode(), digest_size=16).hexdigest()
        return self.folder / name[:2] / f"{name}.{suffix}"

    def wanted(self, track: Track) -> tuple[str, ...]:
        """What to estimate for this track."""
        return tuple(d for d in LABELS if d in self.estimate and _lacks(track, d))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome for one track.

    Attributes:
      track_id: its id.
      seconds: duration of its audio, if it was analysed.
      reason: why it is unusable; empty if it is usable.
      kept: whether the existing data set has the track's features.
      note: what is odd about its audio, although it can be used.
    """

    track_id: str
    seconds: float = 0.0
    reason: str = ""
    kept: bool = False
    note: str = ""


def _lacks(track: Track, label: str) -> bool:
    # Tags are estimated even where all are given: what is a high value depends on all tracks.
    return label in BY_TAGGER or getattr(track, label) is None


def digest(audio: Audio) -> str:
    """A name for the bytes of an audio file, or for the function that makes the samples.

    Raises:
      UnusableTrack: the file cannot be read.
    """
    if callable(audio):
        return hashlib.blake2b(pickle.dumps(audio), digest_size=16).hexdigest()
    check_file(audio)
    try:
        with open(audio, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise UnusableTrack(str(error.strerror), audio) from None


def analyse_into_file(track: Track, job: Job, kept: Kept = NOTHING) -> Outcome:
    """Analyses one track and writes its file, unless the file already holds the same analysis.

    Args:
      track: what to analyse.
      job: how, and where to write.
      kept: what the existing data set has of the track; only the rest is analysed.

    Raises:
      RuntimeError: the track's callable failed; unusable audio is not an error but a `reason`.
    """
    try:
        content = digest(track.audio)
        extract = content != kept.content
        missing = job.wanted(track)
        if not extract:
            missing = tuple(label for label in missing if label not in kept.estimates)
            if not missing:
                _forget(track, job)
                return Outcome(track.track_id, kept=True)
        identity = _identity(job, content, missing, extract)
        analysis = _stored(track, job, identity)
        if analysis is None:
            analysis = _analyse(track, job, content, missing, extract)
            save(analysis, track, job, identity)
        return Outcome(track.track_id, analysis.seconds, kept=not extract, note=analysis.note)
    except UnusableTrack as error:
        return _skipped(track, job, str(error))


def _skipped(track: Track, job: Job, reason: str) -> Outcome:
    _forget(track, job)
    path = job.path(track.track_id, "txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(reason, encoding="utf-8")
    return Outcome(track.track_id, reason=reason)


def outcome(track: Track, job: Job) -> Outcome:
    """What `analyse_into_file` returned for a track, from the files it left behind."""
    if (reason := job.path(track.track_id, "txt")).is_file():
        return Outcome(track.track_id, reason=reason.read_text(encoding="utf-8"))
    if job.path(track.track_id).is_file():
        analysis = load(track, job)
        return Outcome(
            track.track_id, analysis.seconds, kept=not analysis.arrays, note=analysis.note
        )
    return Outcome(track.track_id, kept=True)


def _forget(track: Track, job: Job) -> None:
    for suffix in ("npz", "txt"):
        job.path(track.track_id, suffix).unlink(missing_ok=True)


def _analyse(
    track: Track, job: Job, content: str, estimate: tuple[str, ...], extract: bool
) -> Analysis:
    """Listens to one track (or renders it)."""
    try:
        heard = listen(
            track.audio,
            job.feature_config,
            estimate=estimate,
            tagger=job.tagger,
            extract=extract,
        )
    except RuntimeError as error:
        raise RuntimeError(f"track {track.track_id!r}: {error}") from error
    return Analysis(content, heard.features, heard.seconds, heard.estimate, heard.note)


def save(analysis: Analysis, track: Track, job: Job, identity: str) -> None:
    """Writes the file of a track's analysis, completely or not at all."""
    path = job.path(track.track_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    heard = analysis.estimate
    with replacing(path) as file:
        np.savez(
            file,
            allow_pickle=False,
            identity=identity,
            content=analysis.content,
            seconds=analysis.seconds,
            note=analysis.note,
            annotation=np.array([getattr(heard, field) for field in ANNOTATION]),
            **heard.tags,
            **analysis.arrays,
        )
    job.path(track.track_id, "txt").unlink(missing_ok=True)


def load(track: Track, job: Job) -> Analysis:
    """Reads the file of a track's analysis.

    Raises:
      FileNotFoundError, ValueError: there is no such file, or it cannot be read.
    """
    with np.load(job.path(track.track_id), allow_pickle=False) as file:
        tempo, tempo_confidence, key, key_confidence = file["annotation"].tolist()
        tags = _tags(file)
        names = set(file.files) - {"identity", "content", "seconds", "note", "annotation", *tags}
        return Analysis(
            content=str(file["content"]),
            arrays={name: file[name] for name in sorted(names)},
            seconds=float(file["seconds"]),
            estimate=Estimate(tempo, tempo_confidence, int(key), key_confidence, tags),
            note=str(file["note"]) if "note" in file else "",
        )


def load_tags(track: Track, job: Job) -> dict[str, np.ndarray]:
    """Reads only what the tagger heard from the file of a track's analysis, if there is one."""
    path = job.path(track.track_id)
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as file:
        return _tags(file)


def _tags(file: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: file[name] for name in (*tagging.ARRAYS, *tagging.OF_SEGMENTS) if name in file}


def _stored(track: Track, job: Job, identity: str) -> Analysis | None:
    try:
        with np.load(job.path(track.track_id), allow_pickle=False) as file:
            same = str(file["identity"]) == identity
        return load(track, job) if same else None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _identity(job: Job, content: str, estimate: tuple[str, ...], extract: bool) -> str:
    """Everything that determines an analysis."""
    tagger = job.tagger.digest if job.tagger and BY_TAGGER & {*estimate} else ""
    return repr((content, job.feature_version, job.feature_config, estimate, extract, tagger))


def analyse_all(tasks: Iterable[Task], job: Job, *, workers: int) -> Iterator[Outcome]:
    """Yields the result of `analyse_into_file` for every task, in order.

    Args:
      tasks: see `analyse_into_file`.
      job: see `analyse_into_file`.
      workers: number of processes (1: this process alone, unless it would have to load JAX).
    """
    if job.tagger is not None:
        compile_librosa()
    analysed = functools.partial(_analyse_task, job=job)
    # In worker processes alone, XLA has one thread, so that its sums are the same everywhere.
    if workers == 1 and job.tagger is None:
        yield from map(analysed, tasks)
        return
    for (track, _), outcome in pool.in_order(analysed, tasks, processes=workers):
        yield outcome or _skipped(track, job, "cannot be read (its worker process died)")


def _analyse_task(task: Task, job: Job) -> Outcome:
    track, kept = task
    return analyse_into_file(track, job, kept)


@functools.cache
def compile_librosa() -> None:
    """Has librosa compile what taggers use of it in one process, so that it is cached.

    librosa compiles with Numba on first use. Two processes that do so at the same time write
    mismatched files, and any process that loads them crashes, from then on (numba/numba#10128).
    """
    cache_directory().mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(cache_directory() / "librosa.lock"):
        tagging.patches(np.zeros(tagging.SAMPLE_RATE, np.float32), tagging.SAMPLE_RATE)
