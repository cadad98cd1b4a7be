"""Every published row has a configuration, which is valid and trains."""

import importlib
from pathlib import Path

import jax
import numpy as np
import pytest

from configs.six_dim import VARIANTS
from jaxsim.evaluation import published
from jaxsim.training import train_step
from jaxsim.training.config import check
from tests.helpers.states import batch, drawn_state

ROOT = Path(__file__).parents[3] / "configs"
ROWS = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix()
    for path in ROOT.glob("*/*.py")
    if path.stem != "default"
)
OFTEN = (  # one of each kind
    "lee2020_icassp/euclidean_track",
    "lee2020_ismir/classification",
    "lee2020_ismir/proxy_disentangled",
)


def load(row: str):
    return importlib.import_module(f"configs.{row.replace('/', '.')}")


def test_every_published_row_is_there() -> None:
    names = {Path(row).stem for row in ROWS}
    assert set(published.A_TRIPLET_SCORE) - {"openl3"} <= names
    assert set(published.B_ROWS) <= names


@pytest.mark.parametrize("variant", VARIANTS)
def test_era_took_the_place_of_tempo_in_b(variant: str) -> None:
    """C has genre, mood, instrument and tempo (B §2.2); in B "era replaces tempo" (B §4.1)."""
    c, b = load("lee2020_icassp/euclidean_track"), load("lee2020_ismir/triplet_disentangled_track")
    assert c.get_config(variant).dimensions == ("genre", "mood", "instrument", "tempo")
    assert b.get_config(variant).dimensions == ("genre", "mood", "instrument", "era")


def test_an_epoch_of_b_takes_all_tracks_of_the_msd() -> None:
    for row in ROWS:
        config = load(row).get_config()
        assert (config.data.draw == "every_track") == row.startswith("lee2020"), row
        if config.data.draw == "every_track":
            groups = config.batch_size // config.data.group_size
            assert (config.steps_per_epoch - 1) * groups < 201_680
            assert config.steps_per_epoch * groups >= 201_680


@pytest.mark.parametrize("row", ROWS)
def test_a_row_is_valid_and_says_its_command(row: str) -> None:
    module = load(row)
    for variant in VARIANTS:
        check(module.get_config(variant), devices=8)
    assert f"--config=configs/{row}.py" in module.__doc__


@pytest.mark.parametrize(
    "row", [row if row in OFTEN else pytest.param(row, marks=pytest.mark.slow) for row in ROWS]
)
def test_a_row_trains_one_step(row: str) -> None:
    """Narrow, and of one or two blocks: both ends of the network move, the loss is finite."""
    config = load(row).get_config()
    config.model.update(width=0.03125, embedding_size=12, dtype="float32")
    depth = min(len(config.model.inputs), 2)
    config.model.update(blocks=depth, branch_blocks=depth)
    config.optimiser.learning_rate = 0.01
    random = np.random.default_rng(0)
    examples = batch() | {
        name: random.random((16, 5)) < 0.4 for name in ("mood", "instrument", "era")
    }
    examples |= {
        "track": np.arange(16, dtype=np.int32) // 2,
        "start": np.arange(16, dtype=np.int32) % 2 * 100,
        "drawn_dimension": np.full(16, -1, np.int32),
        "drawn_tag": np.full(16, -1, np.int32),
        "onset": random.random((16, 512)).astype(np.float32),
        "cens": random.random((16, 129, 12)).astype(np.float16),
    }
    state = drawn_state(config, examples)
    step = train_step.mapped_train_step(config, devices=jax.devices()[:1], donate=False)
    one_device = jax.tree.map(lambda x: x[None], examples)
    after, terms = jax.device_get(step(state, one_device, np.float32(0.01)))
    assert np.isfinite(terms.loss.sum).all() and (terms.loss.weight > 0).all()
    assert (terms.track.weight > 0) == (config.loss.track_weight > 0)
    paths = jax.tree_util.tree_leaves_with_path(state.params)
    for (path, before), now in zip(paths, jax.tree.leaves(after.params), strict=True):
        name = jax.tree_util.keystr(path)
        assert np.isfinite(now).all(), name
        if "stem" in name or "embedding" in name or "classes" in name:
            assert (now != before).any(), name
