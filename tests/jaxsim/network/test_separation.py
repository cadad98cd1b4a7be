"""A trunk that starts as one network per input."""

import jax
import numpy as np
import pytest

from configs.six_dim import get_config
from jaxsim.network.inputs import images
from jaxsim.training import train_step

EVERY, MEL, TEMPOGRAM, CENS = [0, 0, 1, 1, 2, 2], [0] * 6, [1] * 6, [2] * 6


@pytest.mark.parametrize(
    ("variant", "disentangled", "read"),
    [
        ("paper", True, [*[EVERY] * 4, TEMPOGRAM, CENS]),
        ("paper", False, np.repeat([0, 1, 2], 12)),
        ("demo", True, [TEMPOGRAM, MEL, MEL, MEL, TEMPOGRAM, CENS]),
    ],
)
@pytest.mark.slow
def test_a_separate_trunk_mixes_no_inputs(variant, disentangled, read) -> None:
    """Every channel and unit moves with one input at most; their sizes are He's.

    The units of a dimension with a first input move with that, those of other dimensions and of an
    undivided space with all, each with one of them.
    """
    layers = ("block_3", "block_6", "embedding")
    config = get_config(variant)
    config.model.update(width=0.09, trunk_width=2.0, trunk_start="separate", dtype="float32")
    config.model.update(embedding_size=36, embedding_norm="none", branch_norm="none")
    config.loss.disentangled = disentangled
    random = np.random.default_rng(3)
    example = {
        "mel": random.random((2, 129, 128)),
        "cens": random.random((2, 129, 12)),
        "onset": random.random((2, 512)),
    }
    state = train_step.initial_state(config, example)
    network = train_step.network(config)

    @jax.jit
    def features(batch):
        _, every = network.apply(
            {"params": state.params},
            images(batch, config),
            train=False,
            capture_intermediates=lambda module, _: module.name in layers,
        )
        return {name: found["__call__"][0] for name, found in every["intermediates"].items()}

    before = features(example)
    moved_by = {}
    for kind, name in (("mel", "mel"), ("tempogram", "onset"), ("cens", "cens")):
        after = features(example | {name: example[name][::-1] ** 2})
        for block, values in after.items():
            change = np.abs(np.asarray(values - before[block]))
            difference = change.reshape(-1, change.shape[-1]).max(axis=0)
            moved_by[block, kind] = difference > 0
    for block in layers:
        moved = np.stack([moved_by[block, kind] for kind in config.model.inputs])
        assert moved.sum(axis=0).max() == 1, "no channel reads two inputs"
        assert moved.any(axis=1).all(), "every input is read"
    np.testing.assert_array_equal(moved.argmax(axis=0), np.ravel(read))
    gains = state.params["block_4"]["naive"]["point"]["kernel"]
    assert np.std(gains) == pytest.approx(np.sqrt(2 / gains.shape[2]), rel=0.1)
