"""From audio to embeddings, with a trained run or an exported model: one path for both."""

import hashlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from input_pipeline import extras
from input_pipeline.hearing import excerpts, features
from input_pipeline.hearing.audio import LONGEST
from input_pipeline.hearing.listening import listen
from input_pipeline.hearing.readings import Evidence, of_features
from input_pipeline.hearing.segments import ARRAYS, segments
from jaxsim.exported import numpy_model
from jaxsim.library import store
from jaxsim.library.intake import heard, onnx_network
from jaxsim.library.store import schema
from jaxsim.network import subspaces

Key = TypeVar("Key")
Features = dict[str, np.ndarray]
BATCH_SIZE = 16  # segments; more are no faster


class Embedder:
    """Embeds tracks: the mean over non-overlapping segments (A §4.1), sub-spaces at length 1.

    The network is the exported one, with all batch normalisation folded, run by ONNX Runtime in
    float32 on this machine's processors; reading audio takes far longer than the network does.

    Attributes:
      model: the exported model.
      file: the content of its exported file.
      digest: SHA-256 of everything in the model that determines an embedding.
      feature_config: how features are extracted.
      seconds: of a longer track that are embedded, see `excerpts`; None for whole tracks.
    """

    def __init__(
        self, source: str | Path, *, seconds: float | None = None, batch_size: int = BATCH_SIZE
    ):
        """Reads a model.

        Args:
          source: a training run's directory (its newest checkpoint) or an export.
          seconds: of a longer track that are embedded, in excerpts; None for whole tracks.
          batch_size: segments that go through the network at once.

        Raises:
          FileNotFoundError: there is no such file, or no checkpoint.
          ValueError: it is not a model, or this version extracts different features; or the seconds
            hold no segment.
          ImportError: it is a run, and what reads checkpoints is not installed.
        """
        self.model, self.file = _read(Path(source))
        if self.model.feature_version != features.FEATURE_VERSION:
            raise ValueError(
                f"{source}: feature_version is {self.model.feature_version}, expected "
                f"{features.FEATURE_VERSION}; install the jaxsim that it was trained with"
            )
        self.digest = _digest(self.model)
        self.feature_config = features.FeatureConfig(**self.model.feature_config)
        excerpts.check(seconds, self.feature_config)
        self.seconds = seconds
        self.batch_size = batch_size
        self._network = onnx_network.Network(self.model)

    def __call__(
        self, audio: str | Path | np.ndarray, *, max_seconds: float = LONGEST
    ) -> np.ndarray:
        """Embeds one track.

        Args:
          audio: a file, or mono float samples [n] at `feature_config.sample_rate`.
          max_seconds: files that declare to be longer are not decoded.

        Returns:
          float32 [E].

        Raises:
          UnusableTrack: it cannot be decoded, or is too short, too long, silent or not finite.
        """
        if isinstance(audio, np.ndarray):
            arrays = excerpts.extract(audio, self.feature_config, self.seconds)
        else:
            arrays = listen(
                audio, self.feature_config, seconds=self.seconds, longest=max_seconds
            ).features
        ((_, vector),) = self.stream([(None, arrays)])
        return vector

    def heard(self, file: str | Path) -> tuple[np.ndarray, dict[str, Any]]:
        """The embedding float32 [E] of a file, and what is heard in it, as `Store.heard` says it.

        Raises:
          UnusableTrack: as when it is called.
        """
        heard_there = listen(file, self.feature_config, seconds=self.seconds)
        return self.heard_in(heard_there.features)

    def heard_in(self, arrays: Features) -> tuple[np.ndarray, dict[str, Any]]:
        """As `heard`, from the features of a track, as `excerpts.extract` returns them."""
        ((_, vector),) = self.stream([(None, arrays)])
        columns = self.read(vector, of_features(arrays, self.feature_config.frame_rate))
        return vector, schema.heard_of([columns[name] for name in schema.HEARD])

    def stream(self, tracks: Iterable[tuple[Key, Features]]) -> Iterator[tuple[Key, np.ndarray]]:
        """Embeds many tracks, with segments of several tracks in one batch.

        Args:
          tracks: any key and the features of the track, as `excerpts.extract` returns them.

        Yields:
          The keys, in the same order, each with its embedding float32 [E].
        """
        waiting: list[tuple[Key, int]] = []  # keys, and how many segments each has
        ready: list[Features] = []  # segments
        embedded = np.zeros((0, self.model.embedding_size), np.float32)
        for key, arrays in tracks:
            is_whole = arrays["mel"].ndim == 2
            cut = segments(arrays, self.feature_config) if is_whole else arrays
            cut = {name: cut[name] for name in ARRAYS}
            waiting.append((key, len(cut["mel"])))
            ready += [dict(zip(cut, one, strict=True)) for one in zip(*cut.values(), strict=True)]
            while len(ready) >= self.batch_size:
                embedded = np.concatenate([embedded, self._embed(ready[: self.batch_size])])
                del ready[: self.batch_size]
            while waiting and waiting[0][1] <= len(embedded):
                key, count = waiting.pop(0)
                yield key, self._track(embedded[:count])
                embedded = embedded[count:]
        if ready:
            embedded = np.concatenate([embedded, self._embed(ready)])
        for key, count in waiting:
            yield key, self._track(embedded[:count])
            embedded = embedded[count:]

    def read(self, vector: np.ndarray, evidence: Evidence) -> dict[str, Any]:
        """What is heard in a track, from its embedding and its features; see `heard.columns`."""
        return heard.columns(self.model, vector, evidence)

    def description(self) -> dict:
        """The content of `library.json` for a library that this model embeds."""
        return store.describe(
            model=self.digest,
            dimensions=self.model.dimensions,
            embedding_size=self.model.embedding_size,
            feature_version=self.model.feature_version,
            feature_config=self.model.feature_config,
            tag_names=self.model.tag_names,
            seconds=self.seconds,
        )

    def _embed(self, ready: list[Features]) -> np.ndarray:
        """Embeddings [n, E] of segments."""
        return self._network({name: np.stack([one[name] for one in ready]) for name in ready[0]})

    def _track(self, embedded: np.ndarray) -> np.ndarray:
        """The embedding [E] of a track from those of its segments [L, E]."""
        mean = embedded.mean(axis=0, dtype=np.float64)[None]
        return subspaces.normalised(mean, len(self.model.dimensions))[0].astype(np.float32)


def _read(source: Path) -> tuple[numpy_model.Model, bytes]:
    """A model and the bytes of its exported file; a checkpoint is exported first."""
    if not source.is_dir():
        return numpy_model.load(source), source.read_bytes()
    extras.need("train")
    from jaxsim.training.saving.exporting import export_checkpoint

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        export_checkpoint(source, path)
        return numpy_model.load(path), path.read_bytes()


def _digest(model: numpy_model.Model) -> str:
    parts: list[Any] = [model.config, model.dimensions, model.feature_config, model.standardise]
    parts.append(model.feature_version)
    if model.tempogram != "autocorrelation":  # stores name older models without it
        parts.append(model.tempogram)
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
    for name, array in sorted(model.arrays.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
