"""An exported network run by ONNX Runtime: what a library embeds with.

It gives what `numpy_model` gives, at a third of the cost, and needs neither JAX nor a compilation
(benchmarks/RESULTS.md). The graph is built from the network's plan when a model is opened.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
import scipy.fft
from onnx import TensorProto, helper, numpy_helper

from input_pipeline.hearing.tempo_axis import folding
from jaxsim.exported.numpy_model import LAYER_NORM_EPSILON, Model
from jaxsim.network.plan import (
    BATCH_NORM_EPSILON,
    CENTRE,
    CHROMA_ROWS,
    INPUTS,
    LIMIT,
    Block,
    Plan,
    stem_name,
)

OPSET, IR_VERSION = 18, 9  # the first ones with all that is used; every newer runtime reads them
ERRORS = 3  # the level below which the runtime is silent
OUTPUT = "embedding"


class Network:
    """The network of a model, ready to run on this machine's processors."""

    def __init__(self, model: Model):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS
        # Threads that wait in a busy loop would take the processors from those that read audio.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._model = model
        self._session = onnxruntime.InferenceSession(
            graph(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, batch: Mapping[str, np.ndarray]) -> np.ndarray:
        """Embeddings float32 [B, E] of segments, not normalised.

        Args:
          batch: mel [B, T, n_mels], cens [B, T, n_chroma], onset [B, T + window - 1].
        """
        (embeddings,) = self._session.run([OUTPUT], images(self._model, batch))
        return embeddings


def images(model: Model, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs of the graph, standardised float32 images [B, 1, bins, frames]."""
    features = model.feature_config
    result = {}
    for name in model.config["inputs"]:
        if name == "tempogram":
            x = tempogram(batch["onset"].astype(np.float32), features["tempogram_window"])
            if model.tempogram == "cyclic":
                frame_rate = features["sample_rate"] / features["hop_length"]
                x = x @ folding(x.shape[-1], frame_rate).T.astype(np.float32)
        else:
            x = batch[name].astype(np.float32)
        mean, deviation = map(np.float32, model.standardise[name])
        x = ((x - mean) / deviation).swapaxes(1, 2)
        if name == "cens":
            x = np.pad(x, ((0, 0), (0, CHROMA_ROWS - x.shape[1]), (0, 0)))
        result[name] = np.ascontiguousarray(x[:, None])
    return result


def tempogram(onset: np.ndarray, window: int) -> np.ndarray:
    """`numpy_model.tempogram` in float32 throughout: [B, N] to [B, N - window + 1, window]."""
    hann = np.float32(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window))
    windowed = np.lib.stride_tricks.sliding_window_view(onset, window, axis=1) * hann
    # Twice the window, so that the circular correlation is the linear one.
    spectrum = scipy.fft.rfft(windowed, 2 * window)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    correlation = scipy.fft.irfft(power, 2 * window)[..., :window]
    peak = np.abs(correlation).max(axis=-1, keepdims=True)
    return correlation / np.where(peak < np.finfo(np.float32).tiny, np.float32(1), peak)


def graph(model: Model) -> onnx.ModelProto:
    """The network as an ONNX model: images by their names come in, `OUTPUT` [B, E] goes out."""
    plan, built = model.plan, _Graph(model.arrays)
    x = built.joined([_branch(built, model, kind) for kind in plan.inputs])
    for block in plan.trunk():
        x = _block(built, block, x)
    x = built.add("Flatten", [built.add("Transpose", [x], perm=[0, 2, 3, 1])])
    x = built.dense("embedding", x)
    if plan.statistics:
        x = built.add("Add", [x, built.dense("statistics", _normalised_statistics(built, plan))])
    if plan.embedding_norm == "layer":
        weights = built.weights("embedding_norm/scale", "embedding_norm/bias")
        x = built.add("LayerNormalization", [x, *weights], epsilon=float(LAYER_NORM_EPSILON))
    x = built.add("Relu", [x]) if plan.embedding_relu else x
    x = _whiten(built, x) if plan.whitened else x
    built.add("Identity", [x], [OUTPUT])
    return built.model(plan.inputs, plan.embedding_size)


def _branch(built: "_Graph", model: Model, kind: str) -> str:
    strides, pooling = INPUTS[kind]
    x = built.convolve(stem_name(kind), kind, strides)
    x = built.add("MaxPool", [x], kernel_shape=pooling, strides=pooling)
    for block in model.plan.branch(kind):
        x = _block(built, block, x)
    return x


def _block(built: "_Graph", block: Block, x: str) -> str:
    x = _naive(built, f"{block.name}/naive", x, block.strides)
    return _reduction(built, f"{block.name}/reduction", x, block.reduce_channels)


def _naive(built: "_Graph", name: str, x: str, strides: Sequence[int]) -> str:
    point = built.convolve(f"{name}/point", x, strides)
    deep = built.convolve(f"{name}/deep_reduce", x)
    deep = built.convolve(f"{name}/deep_1", deep)
    deep = built.convolve(f"{name}/deep_2", deep, strides)
    pooled = built.add("MaxPool", [x], kernel_shape=(3, 3), strides=strides, auto_pad="SAME_UPPER")
    return built.joined([point, deep, pooled])


def _reduction(built: "_Graph", name: str, x: str, channels: Sequence[int]) -> str:
    """Dimension-reduction module; three of its four 1 x 1 convolutions read the same map."""
    kernel, bias = (built.arrays[f"{name}/reduce/{part}"] for part in ("kernel", "bias"))
    same = sum(channels[:3])
    reduced = built.convolve_with(f"{name}/same", x, kernel[..., :same], bias[:same])
    point, wide, deep = built.split(reduced, channels[:3])
    wide = built.convolve(f"{name}/wide", wide)
    deep = built.convolve(f"{name}/deep_1", deep)
    deep = built.convolve(f"{name}/deep_2", deep)
    mean = built.add("AveragePool", [x], kernel_shape=(3, 3), auto_pad="SAME_UPPER")
    pooled = built.convolve_with(f"{name}/pooled", mean, kernel[..., same:], bias[same:])
    return built.joined([point, wide, deep, pooled])


def _normalised_statistics(built: "_Graph", plan: Plan) -> str:
    found = [statistic for kind in plan.statistics for statistic in _statistics(built, kind)]
    mean, variance = (built.arrays[f"{CENTRE}/{name}"] for name in ("mean", "var"))
    deviation = np.sqrt(variance + BATCH_NORM_EPSILON)
    offsets = built.add("Sub", [built.joined(found), built.weight(f"{CENTRE}/mean", mean)])
    normalised = built.add("Div", [offsets, built.weight(f"{CENTRE}/deviation", deviation)])
    for kind, limit in (("Max", -LIMIT), ("Min", LIMIT)):
        bound = built.weight(f"{CENTRE}/{kind}", np.array([limit], np.float32))
        normalised = built.add(kind, [normalised, bound])
    return normalised


def _statistics(built: "_Graph", image: str) -> list[str]:
    """Mean, deviation and mean change over time of an image's bins, [B, bins] each."""
    numbers = {"axis": 3, "first": 0, "second": 1, "last": -1, "end": np.iinfo(np.int64).max}
    time, first, second, last, end = (
        built.weight(f"{image}, {name}", np.array([number], np.int64))
        for name, number in numbers.items()
    )
    mean = built.add("ReduceMean", [image, time])
    offsets = built.add("Sub", [image, mean])
    variance = built.add("ReduceMean", [built.add("Mul", [offsets, offsets]), time])
    later = built.add("Slice", [image, second, end, time])
    earlier = built.add("Slice", [image, first, last, time])
    changes = built.add("Abs", [built.add("Sub", [later, earlier])])
    found = [mean, built.add("Sqrt", [variance]), built.add("ReduceMean", [changes, time])]
    return [built.add("Flatten", [each]) for each in found]


def _whiten(built: "_Graph", x: str) -> str:
    kernels = built.arrays["whitening/kernel"]
    parts = built.split(x, [kernel.shape[0] for kernel in kernels])
    whitened = [
        built.add("MatMul", [part, built.weight(f"whitening/kernel/{i}", kernel)])
        for i, (part, kernel) in enumerate(zip(parts, kernels, strict=True))
    ]
    return built.add("Add", [built.joined(whitened), *built.weights("whitening/bias")])


class _Graph:
    """A graph while it is built; values are known by their names. Channels are the second axis."""

    def __init__(self, arrays: Mapping[str, np.ndarray]):
        self.arrays = arrays
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def add(self, kind: str, inputs: Sequence[str], outputs: Sequence[str] = (), **how) -> str:
        """Adds an operation; the name of its (first) output."""
        outputs = outputs or [f"value {len(self._nodes)}"]
        self._nodes.append(helper.make_node(kind, inputs, outputs, **how))
        return outputs[0]

    def weight(self, name: str, array: np.ndarray) -> str:
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def weights(self, *names: str) -> list[str]:
        return [self.weight(name, self.arrays[name]) for name in names]

    def joined(self, parts: Sequence[str]) -> str:
        return self.add("Concat", parts, axis=1)

    def split(self, x: str, sizes: Sequence[int]) -> list[str]:
        parts = [f"{x}, part {i}" for i in range(len(sizes))]
        lengths = self.weight(f"{x}, lengths", np.array(sizes, np.int64))
        self.add("Split", [x, lengths], parts, axis=1)
        return parts

    def dense(self, name: str, x: str) -> str:
        return self.add("Gemm", [x, *self.weights(f"{name}/kernel", f"{name}/bias")])

    def convolve(self, name: str, x: str, strides: Sequence[int] = (1, 1)) -> str:
        kernel, bias = self.arrays[f"{name}/kernel"], self.arrays[f"{name}/bias"]
        return self.convolve_with(name, x, kernel, bias, strides)

    def convolve_with(
        self,
        name: str,
        x: str,
        kernel: np.ndarray,
        bias: np.ndarray,
        strides: Sequence[int] = (1, 1),
    ) -> str:
        """ReLU of a SAME convolution with a kernel [h, w, C, D]."""
        weights = self.weight(f"{name}/kernel", kernel.transpose(3, 2, 0, 1))
        inputs = [x, weights, self.weight(f"{name}/bias", bias)]
        convolved = self.add("Conv", inputs, strides=strides, auto_pad="SAME_UPPER")
        return self.add("Relu", [convolved])

    def model(self, inputs: Sequence[str], size: int) -> onnx.ModelProto:
        """The model; the sizes of images and batches are left open."""
        images = [_value(name, ["B", 1, f"{name} bins", f"{name} frames"]) for name in inputs]
        outputs = [_value(OUTPUT, ["B", size])]
        made = helper.make_graph(self._nodes, "jaxsim", images, outputs, self._weights)
        return helper.make_model(
            made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )


def _value(name: str, shape: Sequence[int | str]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
