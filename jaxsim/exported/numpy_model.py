"""An exported network in NumPy alone: reads what `jaxsim.export` wrote, embeds segments and tracks.

The network is written plainly after the papers (A Fig. 2; B §4.2), without the rearrangements of
`jaxsim.network.inception`, so that each checks the other. It computes in float32, whatever the
training computed in. There is no batch normalisation here: the export has folded it into the
layers.

    model = numpy_model.load()  # the one that comes with jaxsim; or load("runs/demo/model.npz")
    vector = model.embed_track(mel, cens, onset)
    vector[model.subspaces["key"]]
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.exported import model_format
from jaxsim.exported import readings as readings_of_model
from jaxsim.exported.readings import Prototypes
from jaxsim.network import subspaces
from jaxsim.network.plan import (
    BATCH_NORM_EPSILON,
    CENTRE,
    CHROMA_ROWS,
    INPUTS,
    LIMIT,
    Block,
    Plan,
    plan_of,
    stem_name,
)

MODELS = Path(__file__).with_name("models")
SHIPPED = MODELS / "music.npz"  # trained on recordings and the embedded scores; see music.md
SCORES = MODELS / "scores.npz"  # trained on the embedded scores alone
LAYER_NORM_EPSILON = np.float32(1e-6)
SEGMENTS_AT_A_TIME = 8  # bounds the memory of the patches, about 10 MB per segment at full width


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A network with its parameters. B segments, T frames, E embedding size.

    Attributes:
      config: of the model, as in training: inputs, embedding_size, width, norm, embedding_norm, ...
      dimensions: names of the similarity dimensions, in the order of their sub-spaces.
      tag_names: per tag dimension, the tags it was trained on.
      feature_config: how the features that the network takes are extracted.
      feature_version: `input_pipeline.hearing.features.FEATURE_VERSION` of those features.
      standardise: per input, the mean and deviation of its z-scoring.
      arrays: float32 kernels and biases by their path in the network.
      tempogram: its rows: lags ("autocorrelation") or tempi within an octave ("cyclic").
      readings: what can be read from an embedding, by dimension; older models read nothing.
    """

    config: dict[str, Any]
    dimensions: tuple[str, ...]
    tag_names: dict[str, tuple[str, ...]]
    feature_config: dict[str, Any]
    feature_version: int
    standardise: dict[str, tuple[float, float]]
    arrays: dict[str, np.ndarray]
    tempogram: str = "autocorrelation"
    readings: dict[str, Prototypes] = dataclasses.field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        """The structure of the network."""
        return plan_of(self.config).folded()

    @property
    def embedding_size(self) -> int:
        return self.config["embedding_size"]

    @property
    def subspaces(self) -> dict[str, slice]:
        """The slice of the embedding that each dimension owns."""
        return subspaces.slices(self.dimensions, self.embedding_size)

    def embed(
        self, mel: ArrayLike | None, cens: ArrayLike | None, onset_padded: ArrayLike | None
    ) -> np.ndarray:
        """Embeds segments; features that no input of this model reads may be None.

        Args:
          mel: [B, T, n_mels], log10(1 + 10 S), before z-scoring; T = segment_frames.
          cens: [B, T, n_chroma].
          onset_padded: [B, T + window - 1], the onset envelope around each segment: frame t of the
            tempogram is made from onset_padded[t : t + window].

        Returns:
          float32 [B, E].

        Raises:
          ValueError: a shape is wrong or a value is not finite.
        """
        config = self.feature_config
        frames = config["segment_frames"]
        stored = {
            "mel": ("mel", mel, (frames, config["n_mels"])),
            "cens": ("cens", cens, (frames, config["n_chroma"])),
            "tempogram": ("onset_padded", onset_padded, (frames + config["tempogram_window"] - 1,)),
        }
        features = {kind: _checked(*stored[kind]) for kind in self.config["inputs"]}
        sizes = {kind: len(array) for kind, array in features.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the inputs have different numbers of segments: {sizes}")
        total = next(iter(sizes.values()))
        result = np.empty((total, self.embedding_size), np.float32)
        for start in range(0, total, SEGMENTS_AT_A_TIME):
            part = slice(start, start + SEGMENTS_AT_A_TIME)
            result[part] = self._network({k: self._image(k, v[part]) for k, v in features.items()})
        return result

    def embed_track(
        self, mel: ArrayLike | None, cens: ArrayLike | None, onset: ArrayLike | None
    ) -> np.ndarray:
        """Embeds a track: the mean over its non-overlapping segments (A §4.1).

        Only the tempogram sees the frames after the last whole segment.

        Args:
          mel: [T, n_mels], as in `embed`.
          cens: [T, n_chroma].
          onset: [T], the onset envelope of the whole track.

        Returns:
          float32 [E].

        Raises:
          ValueError: the features differ in length, are shorter than a segment, or are not finite.
        """
        given = {"mel": mel, "cens": cens, "onset": onset}
        track = {k: np.asarray(v, np.float32) for k, v in given.items() if v is not None}
        lengths = {name: len(array) for name, array in track.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"the features of a track must have the same length, found {lengths}")
        length, frames = next(iter(lengths.values())), self.feature_config["segment_frames"]
        if length < frames:
            raise ValueError(f"the track has {length} frames, expected at least {frames}")
        starts = np.arange(0, length - frames + 1, frames)[:, None]
        rows = starts + np.arange(frames)
        segments = self.embed(
            track["mel"][rows] if "mel" in track else None,
            track["cens"][rows] if "cens" in track else None,
            self._envelopes(track["onset"], starts) if "onset" in track else None,
        )
        return segments.mean(axis=0, dtype=np.float64).astype(np.float32)

    def _envelopes(self, onset: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """What `embed` takes as onset_padded, padded as `librosa.feature.tempogram` pads it."""
        window = self.feature_config["tempogram_window"]
        padded = np.pad(onset, window // 2, mode="linear_ramp", end_values=0)
        length = self.feature_config["segment_frames"] + window - 1
        return padded[starts + np.arange(length)]

    def _image(self, kind: str, x: np.ndarray) -> np.ndarray:
        """Standardised input image [B, bins, frames, 1]."""
        if kind == "tempogram":
            x = tempogram(x, self.feature_config["tempogram_window"])
            if self.tempogram == "cyclic":
                frame_rate = self.feature_config["sample_rate"] / self.feature_config["hop_length"]
                x = fold_octaves(x, frame_rate)
        mean, deviation = self.standardise[kind]
        x = ((x - mean) / deviation).swapaxes(1, 2)
        if kind == "cens":
            x = np.pad(x, ((0, 0), (0, CHROMA_ROWS - x.shape[1]), (0, 0)))
        return x[..., None]

    def _network(self, images: dict[str, np.ndarray]) -> np.ndarray:
        plan = self.plan
        x = np.concatenate([self._branch(plan, kind, x) for kind, x in images.items()], axis=-1)
        for block in plan.trunk():
            x = self._block(block, x)
        x = self._dense("embedding", x.reshape(len(x), -1))
        if plan.statistics:
            x = x + self._dense("statistics", self._statistics(images))
        x = self._layer_norm(x) if plan.embedding_norm == "layer" else x
        x = np.maximum(x, 0) if plan.embedding_relu else x
        return self._whiten(x) if plan.whitened else x

    def _statistics(self, images: dict[str, np.ndarray]) -> np.ndarray:
        """The statistics that the embedding reads, normalised and limited."""
        found = np.concatenate([statistics(images[kind]) for kind in self.plan.statistics], axis=1)
        mean, variance = (self.arrays[f"{CENTRE}/{name}"] for name in ("mean", "var"))
        return ((found - mean) / np.sqrt(variance + BATCH_NORM_EPSILON)).clip(-LIMIT, LIMIT)

    def _dense(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.arrays[f"{name}/kernel"] + self.arrays[f"{name}/bias"]

    def _whiten(self, x: np.ndarray) -> np.ndarray:
        parts = np.split(x, self.plan.whitened, axis=1)
        kernels = self.arrays["whitening/kernel"]
        whitened = [part @ kernel for part, kernel in zip(parts, kernels, strict=True)]
        return np.concatenate(whitened, axis=1) + self.arrays["whitening/bias"]

    def _branch(self, plan: Plan, kind: str, x: np.ndarray) -> np.ndarray:
        strides, pooling = INPUTS[kind]
        x = self._convolve(stem_name(kind), x, strides)
        x = _windows(x, pooling, pooling, "VALID", 0.0).max(axis=(3, 4))
        for block in plan.branch(kind):
            x = self._block(block, x)
        return x

    def _layer_norm(self, x: np.ndarray) -> np.ndarray:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + LAYER_NORM_EPSILON)
        return x * self.arrays["embedding_norm/scale"] + self.arrays["embedding_norm/bias"]

    def _block(self, block: Block, x: np.ndarray) -> np.ndarray:
        x = self._naive(f"{block.name}/naive", x, block.strides)
        return self._reduction(f"{block.name}/reduction", x, block.reduce_channels)

    def _naive(self, name: str, x: np.ndarray, strides: tuple[int, int]) -> np.ndarray:
        point = self._convolve(f"{name}/point", x, strides)
        deep = self._convolve(f"{name}/deep_reduce", x)
        deep = self._convolve(f"{name}/deep_1", deep)
        deep = self._convolve(f"{name}/deep_2", deep, strides)
        pooled = _windows(x, (3, 3), strides, "SAME", -np.inf).max(axis=(3, 4))
        return np.concatenate([point, deep, pooled], axis=-1)

    def _reduction(self, name: str, x: np.ndarray, channels: tuple[int, ...]) -> np.ndarray:
        """Dimension-reduction module; its four 1 x 1 kernels lie side by side in one array."""
        ends = np.cumsum(channels)[:-1]
        kernels = np.split(self.arrays[f"{name}/reduce/kernel"], ends, axis=-1)
        biases = np.split(self.arrays[f"{name}/reduce/bias"], ends)
        point = convolve_relu(x, kernels[0], biases[0])
        wide = self._convolve(f"{name}/wide", convolve_relu(x, kernels[1], biases[1]))
        deep = self._convolve(f"{name}/deep_1", convolve_relu(x, kernels[2], biases[2]))
        deep = self._convolve(f"{name}/deep_2", deep)
        pooled = convolve_relu(average_pool(x, (3, 3)), kernels[3], biases[3])
        return np.concatenate([point, wide, deep, pooled], axis=-1)

    def _convolve(self, name: str, x: np.ndarray, strides: tuple[int, int] = (1, 1)) -> np.ndarray:
        return convolve_relu(x, self.arrays[f"{name}/kernel"], self.arrays[f"{name}/bias"], strides)


def load(path: str | Path = SHIPPED) -> Model:
    """Reads an exported model; by default the one that comes with jaxsim, `SHIPPED`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not an export, has another format version, is damaged or is incomplete; the
        message names the file and the field.
    """
    metadata, arrays = model_format.read(path)
    network = {
        name: array
        for name, array in arrays.items()
        if not name.startswith(readings_of_model.PREFIX)
    }
    return Model(
        config=metadata["model"],
        dimensions=tuple(metadata["dimensions"]),
        tag_names={name: tuple(tags) for name, tags in metadata["tag_names"].items()},
        feature_config=metadata["feature_config"],
        feature_version=metadata["feature_version"],
        standardise={name: (m, d) for name, (m, d) in metadata["standardise"].items()},
        arrays=network,
        tempogram=metadata.get("tempogram", "autocorrelation"),
        readings=readings_of_model.from_arrays(metadata.get("readings", {}), arrays),
    )


def convolve_relu(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, strides: tuple[int, int] = (1, 1)
) -> np.ndarray:
    """ReLU of a SAME convolution: [B, H, W, C] with a kernel [h, w, C, D] to [B, I, J, D]."""
    patches = _windows(x, kernel.shape[:2], strides, "SAME", 0.0)
    product = patches.reshape(-1, kernel[..., 0].size) @ kernel.reshape(-1, kernel.shape[-1])
    return np.maximum(product + bias, 0).reshape(*patches.shape[:3], -1)


def statistics(image: np.ndarray) -> np.ndarray:
    """Mean, deviation and mean change over time of every bin: [B, H, W, 1] to [B, 3 H]."""
    x = image[..., 0]
    change = np.abs(np.diff(x, axis=2)).mean(axis=2)
    return np.concatenate([x.mean(axis=2), x.std(axis=2), change], axis=1)


def average_pool(x: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Mean over `window` at stride 1 with SAME padding; padding does not count."""
    count = _windows(np.ones_like(x[:1, :, :, :1]), window, (1, 1), "SAME", 0.0).sum(axis=(3, 4))
    return _windows(x, window, (1, 1), "SAME", 0.0).sum(axis=(3, 4)) / count


def tempogram(onset: np.ndarray, window: int) -> np.ndarray:
    """Local autocorrelation of the onset envelope, as `librosa.feature.tempogram` computes it.

    Args:
      onset: [B, T + window - 1].
      window: frames of the periodic Hann window, and number of lags.

    Returns:
      float32 [B, T, window], at most 1 in magnitude per frame; 0 in a frame without any onset.
    """
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    windowed = np.lib.stride_tricks.sliding_window_view(onset, window, axis=1) * hann
    # Twice the window, so that the circular correlation is the linear one.
    power = np.abs(np.fft.rfft(windowed, 2 * window)) ** 2
    correlation = np.fft.irfft(power, 2 * window)[..., :window]
    peak = np.abs(correlation).max(axis=-1, keepdims=True)
    return (correlation / np.where(peak < np.finfo(np.float32).tiny, 1, peak)).astype(np.float32)


def _windows(
    x: np.ndarray, window: tuple[int, ...], strides: tuple[int, int], padding: str, fill: float
) -> np.ndarray:
    """All windows of [B, H, W, C] as a view [B, I, J, h, w, C] of the padded array."""
    if padding == "SAME":
        pad = [(0, 0), *map(_same, x.shape[1:3], window, strides), (0, 0)]
        x = np.pad(x, pad, constant_values=fill) if np.any(pad) else x
    view = np.lib.stride_tricks.sliding_window_view(x, window, axis=(1, 2))
    return np.moveaxis(view[:, :: strides[0], :: strides[1]], 3, -1)


def _same(size: int, window: int, stride: int) -> tuple[int, int]:
    """Padding before and after, so that there are ceil(size / stride) windows."""
    missing = max((-(-size // stride) - 1) * stride + window - size, 0)
    return missing // 2, missing - missing // 2


def _checked(name: str, array, shape: tuple[int, ...]) -> np.ndarray:
    found = np.shape(array)
    if len(found) != len(shape) + 1 or found[1:] != shape:
        raise ValueError(f"{name} has shape {found}, expected (B, {', '.join(map(str, shape))})")
    array = np.asarray(array, np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are not finite")
    return array


def fold_octaves(by_lag: np.ndarray, frame_rate: float) -> np.ndarray:
    """The cyclic tempogram [B, T, W] of one by lag [B, T, W]: Grosche, Müller and Kurth, 2010.

    Column r is the mean over four octaves of the tempi 30 * 2^(r / W + octave) BPM, each
    interpolated between the tempi of its two neighbouring lags.
    """
    window = by_lag.shape[-1]
    tempo_of_lag = 60 * frame_rate / np.arange(window - 1, 0, -1)  # rising
    values = by_lag[..., :0:-1]
    total = np.zeros(by_lag.shape)
    for octave in range(4):
        tempi = 30 * 2.0 ** (octave + np.arange(window) / window)
        above = np.searchsorted(tempo_of_lag, tempi).clip(1, window - 2)
        low, high = tempo_of_lag[above - 1], tempo_of_lag[above]
        share = (tempi - low) / (high - low)
        total += (1 - share) * values[..., above - 1] + share * values[..., above]
    return (total / 4).astype(np.float32)
