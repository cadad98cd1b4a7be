"""Features and annotations of many tracks by worker processes.

Workers unpickle functions of this module, so nothing here imports TensorFlow or JAX. joblib starts
them without importing the caller's main module, which may well import both.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import filelock
import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor

from input_pipeline import annotations, features
from input_pipeline.cache import cache_directory
from input_pipeline.tracks import Track

RESULTS_IN_FLIGHT = 8  # per worker; bounds the memory


@dataclasses.dataclass(frozen=True)
class Analysis:
    """What was heard in a track: `arrays` as `features.extract` gives them, or why there are none.

    Attributes:
      track: the track, without its audio (a callable may hold a whole score).
      arrays: the features; empty if the track is unusable.
      seconds: duration of the audio.
      annotation: estimated tempo and key where they were asked for and not known.
      reason: why the track is unusable; empty if it is usable.
    """

    track: Track
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    annotation: annotations.Annotation | None = None
    reason: str = ""


def analyse(
    track: Track, feature_config: features.FeatureConfig, *, estimate: Sequence[str]
) -> Analysis:
    """Loads (or renders) one track, extracts its features and estimates what is not known.

    Raises:
      RuntimeError: the track's callable failed; unusable audio is no error but a `reason`.
    """
    silent_track = dataclasses.replace(track, audio="")
    wanted = {d for d in estimate if getattr(track, d) is None}
    try:
        samples = _samples(track, feature_config.sample_rate)
        arrays = features.extract(samples, feature_config)
    except features.UnusableTrack as error:
        return Analysis(silent_track, reason=str(error))
    annotation = None
    if wanted:
        annotation = annotations.estimate_tempo_and_key(
            samples, feature_config.sample_rate, estimate=wanted
        )
    seconds = len(samples) / feature_config.sample_rate
    return Analysis(silent_track, arrays, seconds, annotation)


def analyse_all(
    tracks: Iterable[Track],
    feature_config: features.FeatureConfig,
    *,
    estimate: Sequence[str],
    workers: int,
) -> Iterator[Analysis]:
    """Yields `analyse` of every track, in order, from `workers` processes (1: this process)."""
    compile_librosa(feature_config)
    task: Callable = joblib.delayed(analyse)
    remaining = iter(tracks)
    with joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=1):
        while block := list(itertools.islice(remaining, RESULTS_IN_FLIGHT * workers)):
            # A generator of ordered results; batch_size 1 since tracks differ much in length.
            pool = joblib.Parallel(return_as="generator", batch_size=1, max_nbytes=None)
            yield from pool(task(track, feature_config, estimate=estimate) for track in block)


def compile_librosa(feature_config: features.FeatureConfig) -> None:
    """Extracts from noise, alone, so that librosa's compiled functions are on disk.

    librosa compiles with Numba at its first use. Two processes that do so at the same time write
    files that do not belong together, and whoever loads them crashes, then and ever after
    (numba/numba#10128).
    """
    frames = feature_config.segment_frames
    noise = np.random.default_rng(0).uniform(-1, 1, frames * feature_config.hop_length)
    cache_directory().mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(cache_directory() / "librosa.lock"):
        features.extract(noise, feature_config)


def stop() -> None:
    """Ends the idle worker processes, which would otherwise hold their memory for minutes."""
    get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _samples(track: Track, sample_rate: int) -> np.ndarray:
    if not callable(track.audio):
        return features.load_audio(track.audio, sample_rate)
    try:
        return track.audio()
    except features.UnusableTrack:
        raise
    except Exception as error:
        raise RuntimeError(f"track {track.track_id!r}: its audio failed: {error!r}") from error
