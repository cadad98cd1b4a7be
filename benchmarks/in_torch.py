"""The same network and objective in PyTorch, channels last, for `benchmarks.step` and `mining`.

Images and relations are computed once by jaxsim, so PyTorch need not compute the tempogram or
compare labels. On a GPU, `torch.compile` compiles network and loss together, Adam is fused, and
float32 products may use TF32, as in JAX.
"""

from collections.abc import Callable, Mapping

import jax
import numpy as np
import torch
import torch.nn.functional as F
from ml_collections import ConfigDict
from torch import nn

from benchmarks.plain import STRIDES
from jaxsim.network.inputs import images
from jaxsim.objective import terms
from jaxsim.objective.relations import relations

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Same(nn.Module):
    """Convolution with the "SAME" padding of TensorFlow and Flax, then ReLU."""

    def __init__(self, reads: int, gives: int, size: int, strides=(1, 1)):
        super().__init__()
        self.convolution = nn.Conv2d(reads, gives, size, strides)

    def forward(self, x):
        x = F.pad(x, _same(x, self.convolution.kernel_size, self.convolution.stride))
        return F.relu(self.convolution(x))


def _same(x, kernel, strides) -> list[int]:
    """Padding of the last axis, then of the one before it."""
    padding: list[int] = []
    for axis in (1, 0):
        size, stride = x.shape[2 + axis], strides[axis]
        missing = max((-(-size // stride) - 1) * stride + kernel[axis] - size, 0)
        padding += [missing // 2, missing - missing // 2]
    return padding


class Block(nn.Module):
    """The naive module, then the dimension-reduction module."""

    def __init__(self, reads: int, width: float, strides: tuple[int, int]):
        super().__init__()

        def c(channels: int) -> int:
            return int(channels * width)

        self.strides = strides
        self.point = Same(reads, c(48), 1, strides)
        self.deep = nn.Sequential(
            Same(reads, c(64), 1), Same(c(64), c(96), 3), Same(c(96), c(96), 3, strides)
        )
        reads += c(48) + c(96)
        self.branches = nn.ModuleList(
            (
                Same(reads, c(64), 1),
                nn.Sequential(Same(reads, c(48), 1), Same(c(48), c(64), 5)),
                nn.Sequential(Same(reads, c(64), 1), Same(c(64), c(96), 3), Same(c(96), c(96), 3)),
                nn.Sequential(
                    nn.AvgPool2d(3, 1, 1, count_include_pad=False), Same(reads, c(32), 1)
                ),
            )
        )
        self.gives = c(64) + c(64) + c(96) + c(32)

    def forward(self, x):
        pooled = F.pad(x, _same(x, (3, 3), self.strides), value=-torch.inf)
        pooled = F.max_pool2d(pooled, 3, self.strides)
        x = torch.cat([self.point(x), self.deep(x), pooled], dim=1)
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Network(nn.Module):
    """Per input a branch of a stem and two blocks; then four blocks, dense layer, LayerNorm."""

    def __init__(self, inputs: tuple[str, ...], embedding_size: int, width: float):
        super().__init__()
        separate = 6 if len(inputs) == 1 else 2
        self.inputs = inputs
        self.branches = nn.ModuleList()
        reads = 0
        for kind in inputs:
            stem = Same(1, int(64 * width), 5, (3, 1) if kind == "tempogram" else (1, 1))
            layers: list[nn.Module] = [stem, nn.MaxPool2d(STRIDES[kind], STRIDES[kind])]
            channels = int(64 * width)
            for _ in range(separate):
                layers.append(Block(channels, width, STRIDES[kind]))
                channels = layers[-1].gives
            self.branches.append(nn.Sequential(*layers))
            reads += channels
        common: list[nn.Module] = []
        for _ in range(separate, 6):
            common.append(Block(reads, width, (2, 2)))
            reads = common[-1].gives
        self.common = nn.Sequential(*common)
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(reads, embedding_size), nn.LayerNorm(embedding_size)
        )

    def forward(self, inputs: Mapping[str, torch.Tensor]):
        x = [branch(inputs[kind]) for kind, branch in zip(self.inputs, self.branches, strict=True)]
        return self.head(self.common(torch.cat(x, dim=1)))


def triplet_loss(embeddings, masks, similar, dissimilar, config: ConfigDict):
    """The mean over dimensions of the loss with the nearest negative in each semi-hard band."""
    x = F.normalize(embeddings.float() * masks[:, None], dim=2)
    distance = 1 - x @ x.transpose(1, 2)  # [S, B, B]
    with torch.no_grad():
        negatives = torch.where(dissimilar, distance, torch.inf)
        ranked, order = negatives.sort(dim=2)
        first = torch.searchsorted(ranked, distance, right=True)
        last = torch.searchsorted(ranked, distance + config.loss.band, right=True)
        mined = similar & (first < last)
        chosen = order.gather(2, first.clamp(max=order.shape[2] - 1))
    loss = F.relu(distance - distance.gather(2, chosen) + config.loss.margin)
    return (torch.where(mined, loss, 0.0).sum((1, 2)) / mined.sum((1, 2)).clamp(min=1)).mean()


def runs(config: ConfigDict, batch) -> dict[tuple[str, str], Callable[[int], None]]:
    """Training steps and forward passes, by form and pass as in `benchmarks.step`."""
    torch.set_float32_matmul_precision("high")
    found = relations(
        batch,
        batch,
        config.dimensions,
        tempo_tolerance=config.relation.tempo_tolerance,
        tempo_relation=config.relation.tempo,
        key_relation=config.relation.key,
    )
    similar, dissimilar = (_tensor(mask) for mask in found)
    masks = _tensor(terms.masks_of(config, config.model.embedding_size))
    inputs = {
        kind: _tensor(x).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        for kind, x in images(batch, config).items()
    }
    network = Network(
        tuple(config.model.inputs), config.model.embedding_size, config.model.width
    ).to(DEVICE, memory_format=torch.channels_last)
    half = torch.autocast(
        DEVICE, dtype=torch.bfloat16, enabled=config.model.dtype == "bfloat16", cache_enabled=False
    )

    def loss() -> torch.Tensor:
        with half:
            embeddings = network(inputs)
        return triplet_loss(embeddings, masks, similar, dissimilar, config)

    def embed() -> torch.Tensor:
        with half:
            return network(inputs)

    if DEVICE == "cuda":
        loss, embed = torch.compile(loss), torch.compile(embed)
    adam = torch.optim.Adam(network.parameters(), lr=1e-6, fused=DEVICE == "cuda")

    def train(steps: int) -> None:
        for _ in range(steps):
            adam.zero_grad(set_to_none=True)
            loss().backward()
            adam.step()
        _wait()

    def forward(steps: int) -> None:
        with torch.inference_mode():
            for _ in range(steps):
                embed()
        _wait()

    return {("PyTorch", "training"): train, ("PyTorch", "forward"): forward}


def miner(config: ConfigDict, size: int) -> Callable[[], float]:
    """Mining, loss and gradient by pytorch-metric-learning, with one random label of five each."""
    from pytorch_metric_learning import distances, losses, miners

    cosine = distances.CosineSimilarity()
    mine = miners.TripletMarginMiner(
        margin=config.loss.band, distance=cosine, type_of_triplets="semihard"
    )
    triplets = losses.TripletMarginLoss(margin=config.loss.margin, distance=cosine)
    masks = _tensor(terms.masks_of(config, config.model.embedding_size))
    random = np.random.default_rng(0)
    labels = _tensor(random.integers(5, size=(len(masks), size)))
    embeddings = _tensor(np.float32(random.normal(size=(size, masks.shape[1]))))
    embeddings.requires_grad_()

    def run() -> float:
        embeddings.grad, mean = None, 0.0
        for mask, label in zip(masks, labels, strict=True):
            x = embeddings * mask
            loss = triplets(x, label, mine(x, label)) / len(masks)
            loss.backward()
            mean += loss.item()
        return mean

    return run


def _tensor(array: jax.Array | np.ndarray) -> torch.Tensor:
    return torch.tensor(np.asarray(array), device=DEVICE)


def _wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()
