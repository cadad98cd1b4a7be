"""The plan of the network: everything about its structure, written down once (A Fig. 2; B §4.2).

The Flax network, its initialisation, the export and the NumPy network all read it; each decides for
itself what to compute from it. This module needs nothing but Python.

    input image -> stem -> own blocks \
    input image -> stem -> own blocks  -> side by side -> trunk -> dense layer -> embedding norm
    input image -> stem -> own blocks /

The stem is a convolution and a max-pooling; a block is a naive and a dimension-reduction module. A
network of a single input has no trunk: all blocks are its own. A second dense layer may read
statistics of the images themselves; what it gives is added to that of the first.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

Size = tuple[int, int]  # (bins, frames)


class Input(NamedTuple):
    """How much an input's map shrinks."""

    stem_strides: Size  # of the stem's convolution
    reduction: Size  # by the stem's pooling, and again by each of the input's own blocks


class Convolution(NamedTuple):
    """A convolution of a module, at width 1."""

    kernel: int
    channels: int
    reduces: bool = False  # whether it uses the block's strides


class Layer(NamedTuple):
    """A convolution or dense layer of a network, by its path in the tree of parameters."""

    path: str
    kernel: tuple[int, ...]  # shape
    places: int = 1  # of an image at which it is applied

    @property
    def operations(self) -> int:
        """Floating-point operations for one example, forward."""
        return 2 * math.prod(self.kernel) * self.places


INPUTS = {
    "mel": Input((1, 1), (2, 2)),
    "tempogram": Input((3, 1), (2, 2)),
    "cens": Input((1, 1), (1, 2)),
}
CHROMA_ROWS = 16  # rows of the CENS image: the 12 chroma, padded (A §3.2)

STEM = Convolution(5, 64)
# Branches: point; deep_reduce -> deep_1 -> deep_2; and the max-pooled input.
NAIVE = {
    "point": Convolution(1, 48, reduces=True),
    "deep_reduce": Convolution(1, 64),
    "deep_1": Convolution(3, 96),
    "deep_2": Convolution(3, 96, reduces=True),
}
# Branches: point; reduced -> wide; reduced -> deep_1 -> deep_2; and the average-pooled input,
# reduced. Their 1 x 1 convolutions read the same map and lie side by side in the layer "reduce".
REDUCE = {"point": 64, "wide": 48, "deep": 64, "pooled": 32}
REDUCTION = {
    "wide": Convolution(5, 64),
    "deep_1": Convolution(3, 96),
    "deep_2": Convolution(3, 96),
}

STATISTICS = 3  # of every bin: mean, deviation, mean change from frame to frame
CENTRE = "statistics_centre"  # their normalisation
# Deviations at which they are cut off: what nearly no recording has, such as sound at the Nyquist
# frequency, would drown out everything else.
LIMIT = 3.0
BATCH_NORM_EPSILON = 1e-5  # the default of `flax.linen.BatchNorm`

NORMS = ("none", "batch")
BRANCH_NORMS = ("none", "batch")
# Embedding norms, and what is left of each once batch normalisation is folded into the layers.
EMBEDDING_NORMS = {"layer": "layer", "batch_layer": "layer", "none": "none"}
PUBLISHED_DEPTH = {"blocks": 6, "branch_blocks": 2}
MAX_WIDTH, MAX_BLOCKS = 1000, 100  # far above any real network's


@dataclasses.dataclass(frozen=True)
class Block:
    """A naive module, then a dimension-reduction module.

    Attributes:
      name: the first part of its layers' paths.
      width: scales its channels.
      strides: of the layers that shrink its map.
    """

    name: str
    width: float
    strides: Size

    @property
    def reduce_channels(self) -> tuple[int, ...]:
        """Channels of the branches in the layer "reduce", in the order of `REDUCE`."""
        return tuple(scaled(channels, self.width) for channels in REDUCE.values())

    @property
    def channels(self) -> int:
        """Channels that the block outputs: point, wide, deep and pooled."""
        reduce = dict(zip(REDUCE, self.reduce_channels, strict=True))
        wide, deep = (self.channels_of(REDUCTION[name]) for name in ("wide", "deep_2"))
        return reduce["point"] + wide + deep + reduce["pooled"]

    def channels_of(self, convolution: Convolution) -> int:
        return scaled(convolution.channels, self.width)

    def reduced(self, size: Size) -> Size:
        """Size of the map that the block outputs, for one of `size`."""
        return strided(size, self.strides)

    def layers(self, reads: int, size: Size) -> Iterator[Layer]:
        """The block's convolutions, for a map of `reads` channels and `size`."""
        point, deep_reduce, deep_1, deep_2 = map(self.channels_of, NAIVE.values())
        yield self._layer("naive", "point", reads, point, size)
        yield self._layer("naive", "deep_reduce", reads, deep_reduce, size)
        yield self._layer("naive", "deep_1", deep_reduce, deep_1, size)
        yield self._layer("naive", "deep_2", deep_1, deep_2, size)
        joined, reduce, size = point + deep_2 + reads, self.reduce_channels, self.reduced(size)
        kernel = (1, 1, joined, sum(reduce))
        yield Layer(f"{self.name}/reduction/reduce", kernel, math.prod(size))
        wide, deep_1, deep_2 = map(self.channels_of, REDUCTION.values())
        yield self._layer("reduction", "wide", reduce[1], wide, size)
        yield self._layer("reduction", "deep_1", reduce[2], deep_1, size)
        yield self._layer("reduction", "deep_2", deep_1, deep_2, size)

    def _layer(self, module: str, name: str, reads: int, gives: int, size: Size) -> Layer:
        convolution = {"naive": NAIVE, "reduction": REDUCTION}[module][name]
        kernel = (convolution.kernel, convolution.kernel, reads, gives)
        places = math.prod(self.reduced(size) if convolution.reduces else size)
        return Layer(f"{self.name}/{module}/{name}", kernel, places)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The structure of one network.

    Attributes:
      embedding_size: E.
      inputs: names of the input images, see `INPUTS`.
      width: scales all channels; 1.0 = the papers.
      trunk_width: further scales the channels of the blocks after the first `branch_blocks`. On
        maps of a few pixels they cost little, and a trunk as narrow as one input cannot hold three.
      blocks: how many there are from an input to the embedding.
      branch_blocks: how many of those each input has to itself, if there are several inputs.
      norm: after every convolution: "none" (the papers) or "batch".
      branch_norm: of the branches of several inputs before they meet: "none" (the papers) or
        "batch", without scale and shift. The branches of tempogram and CENS are quieter than mel's,
        which would drown them out.
      embedding_norm: "layer" (A), "none", or "batch_layer": batch normalisation before the layer
        normalisation. A deep stack of rectifiers maps all inputs to almost the same direction. The
        batch mean is that direction; once it is removed, the sub-spaces cannot collapse to it.
      embedding_relu: whether a ReLU follows (as in B's released backbone).
      statistics: inputs of whose bins the embedding also reads the mean, the deviation and the mean
        change over time, by batch normalisation, which is not folded into other layers, a limit,
        and a dense layer that is added to the first; none in the papers. Training gives them to the
        sub-spaces of tags alone.
      whitened: how many sub-spaces an exported network whitens at last; 0 = none.
    """

    embedding_size: int
    inputs: tuple[str, ...] = tuple(INPUTS)
    width: float = 1.0
    trunk_width: float = 1.0
    blocks: int = PUBLISHED_DEPTH["blocks"]
    branch_blocks: int = PUBLISHED_DEPTH["branch_blocks"]
    norm: str = "none"
    branch_norm: str = "none"
    embedding_norm: str = "layer"
    embedding_relu: bool = False
    statistics: tuple[str, ...] = ()
    whitened: int = 0

    @property
    def stem_channels(self) -> int:
        return scaled(STEM.channels, self.width)

    @property
    def normalises_branches(self) -> bool:
        return self.branch_norm == "batch" and len(self.inputs) > 1

    def branch(self, kind: str) -> list[Block]:
        """An input's own blocks."""
        count = self.blocks if len(self.inputs) == 1 else self.branch_blocks
        strides = INPUTS[kind].reduction
        return [self._block(f"{kind}_block_{i + 1}", i, strides) for i in range(count)]

    def trunk(self) -> list[Block]:
        """The blocks after several inputs are joined; none for a single input."""
        if len(self.inputs) == 1:
            return []
        numbers = range(self.branch_blocks, self.blocks)
        return [self._block(f"block_{i + 1}", i, (2, 2)) for i in numbers]

    def _block(self, name: str, number: int, strides: Size) -> Block:
        width = self.width if number < self.branch_blocks else self.width * self.trunk_width
        return Block(name, width, strides)

    def stem_maps(self, kind: str, image: Size) -> tuple[Size, Size]:
        """Sizes of the maps after the stem's convolution and pooling, for an image of that size."""
        stem, reduction = INPUTS[kind]
        bins, frames = strided(image, stem)
        return (bins, frames), (bins // reduction[0], frames // reduction[1])

    def branch_map(self, kind: str, image: Size) -> Size:
        """Size of the map at the end of an input's own blocks, for an input of size `image`."""
        _, size = self.stem_maps(kind, image)
        for block in self.branch(kind):
            size = block.reduced(size)
        return size

    def layers(self, images: Mapping[str, Size]) -> Iterator[Layer]:
        """All layers of the network, in order; `images` are the sizes of the inputs."""
        joined = 0
        for kind in self.inputs:
            channels = self.stem_channels
            convolved, size = self.stem_maps(kind, images[kind])
            kernel = (STEM.kernel, STEM.kernel, 1, channels)
            yield Layer(stem_name(kind), kernel, math.prod(convolved))
            for block in self.branch(kind):
                yield from block.layers(channels, size)
                channels, size = block.channels, block.reduced(size)
            joined += channels
        size = self.branch_map(self.inputs[0], images[self.inputs[0]])
        for block in self.trunk():
            yield from block.layers(joined, size)
            joined, size = block.channels, block.reduced(size)
        yield Layer("embedding", (math.prod(size) * joined, self.embedding_size))
        if self.statistics:
            read = STATISTICS * sum(images[kind][0] for kind in self.statistics)
            yield Layer("statistics", (read, self.embedding_size))

    def operations(self, images: Mapping[str, Size]) -> int:
        """Floating-point operations of the layers, forward, for one example."""
        return sum(layer.operations for layer in self.layers(images))

    def folded(self) -> "Plan":
        """The plan once all batch normalisation is folded into the layers: what is exported."""
        embedding_norm = EMBEDDING_NORMS[self.embedding_norm]
        return dataclasses.replace(
            self, norm="none", branch_norm="none", embedding_norm=embedding_norm
        )


def plan_of(model: Mapping[str, Any]) -> Plan:
    """The plan that a configuration's `model`, or that of an exported file, describes.

    Older configurations and files do not give the depth, which was fixed then.
    """
    names = (field.name for field in dataclasses.fields(Plan))
    given: dict[str, Any] = {name: model[name] for name in names if name in model}
    several: dict[str, Any] = {
        name: tuple(given[name]) for name in ("inputs", "statistics") if name in given
    }
    return Plan(**given | several)


def scaled(channels: int, width: float) -> int:
    """Number of channels at a width; at least one."""
    return max(1, round(channels * width))


def strided(size: Size, strides: Size) -> Size:
    """Size of what a layer with padding gives for a map of `size`."""
    return -(-size[0] // strides[0]), -(-size[1] // strides[1])


def stem_name(kind: str) -> str:
    return f"{kind}_stem"
