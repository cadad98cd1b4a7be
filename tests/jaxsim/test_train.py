"""The run: resuming, refusing, and what it leaves behind. One tiny configuration, compiled once."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from configs.six_dim import get_config
from jaxsim import config as config_module
from jaxsim import numpy_model, train
from jaxsim.checkpoints import restore_for_inference
from jaxsim.schedule import Plateau, exhausted, learning_rate
from tests.jaxsim.tiny import tiny, training_tracks_only


@pytest.fixture(autouse=True)
def validation_on_training_tracks(prepared_directory, monkeypatch):
    """The fixture's validation split is too small for a triplet."""
    monkeypatch.setattr(train, "open_splits", training_tracks_only)


def test_leaves_what_it_says(finished):
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert [row["step"] for row in rows if "validation_own" in row] == [2, 4]
    table = json.loads((finished / "validation.json").read_text())
    assert set(table["scores"]) <= {"genre", "mood"}
    assert list((finished / "tensorboard").iterdir())


def test_a_run_that_is_done_is_left_as_it_is(finished, prepared_directory):
    before = {path: path.stat().st_mtime_ns for path in finished.glob("*.*")}
    assert train.train(tiny(prepared_directory), finished)
    changed = {path.name for path, when in before.items() if path.stat().st_mtime_ns != when}
    assert changed <= {"log.jsonl"}  # opened for more rows


def test_exports_the_model_that_it_trained(finished):
    model = numpy_model.load(finished / "model.npz")
    _, params, _, _ = restore_for_inference(finished)
    np.testing.assert_array_equal(model.arrays["mel_stem/kernel"], params["mel_stem"]["kernel"])


def test_resumed_run_equals_uninterrupted_run(finished, prepared_directory, tmp_path):
    assert train.train(tiny(prepared_directory, num_steps=1), tmp_path)
    assert train.train(tiny(prepared_directory), tmp_path)
    _assert_same_state(finished, tmp_path)


@pytest.mark.slow
def test_killed_run_goes_on_bit_for_bit(tmp_path):
    flags = [
        "--config=configs/six_dim.py:demo",
        "--config.data.scores.pieces_per_genre=7",
        "--config.data.scores.renderings=2",
        "--config.dimensions=('genre','mood')",
        "--config.model.inputs=('mel',)",
        "--config.model.width=0.02",
        "--config.model.embedding_size=8",
        "--config.batch_size=8",
        "--config.num_steps=40",
        "--config.steps_per_epoch=10",
        "--config.evaluation.triplets=20",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment["JAXSIM_DATA"] = str(tmp_path)

    def start(workdir):
        command = [sys.executable, "-m", "jaxsim.train", f"--workdir={workdir}", *flags]
        return subprocess.Popen(command, env=environment)

    assert start(tmp_path / "whole").wait() == 0
    killed = start(tmp_path / "killed")
    while not (tmp_path / "killed" / "checkpoints" / "20").exists():
        assert killed.poll() is None
        time.sleep(0.1)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert start(tmp_path / "killed").wait() == 0
    _assert_same_state(tmp_path / "whole", tmp_path / "killed")


def _assert_same_state(one, other):
    _, *expected, _ = restore_for_inference(one)
    _, *found, _ = restore_for_inference(other)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_refuses_to_resume_with_another_configuration(finished, prepared_directory):
    with pytest.raises(ValueError, match=r"config\.loss\.margin = 0\.1, now it is 0\.2"):
        config = tiny(prepared_directory)
        config.loss.margin = 0.2
        train.train(config, finished)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("batch_size", 12, r"config\.batch_size is 12, expected a multiple of 8"),
        ("dimensions", ("genre", "colour"), r"config\.dimensions is \('genre', 'colour'\)"),
        ("num_steps", 0, r"config\.num_steps is 0, expected more than 0"),
        ("loss.pick", "hardest", r"config\.loss\.pick is 'hardest', expected one of nearest"),
        ("loss.weights.key", 0.0, r"config\.loss\.weights\.key is 0\.0, expected more than 0"),
        ("loss.band", 0.2, r"config\.loss\.band is 0\.2, expected at most"),
        ("model.embedding_size", 385, r"config\.model\.embedding_size is 385, expected a multiple"),
        ("model.inputs", ("mel", "mel"), r"config\.model\.inputs is"),
        ("relation.key", "same", r"config\.relation\.key is 'same'"),
    ],
)
def test_bad_configuration(field, value, message):
    config = get_config("demo")
    with config.unlocked(), config.ignore_type():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(ValueError, match=message):
        config_module.check(config, devices=8)


@pytest.mark.parametrize("variant", ["paper", "demo", "scores"])
def test_every_variant_is_valid(variant):
    config_module.check(get_config(variant), devices=8)


def test_rate_is_divided_by_five_after_ten_epochs_without_improvement():
    config = get_config("paper")
    plateau = Plateau()
    for loss in [1.0, 0.5, *[0.5] * 9]:
        plateau = plateau.after_epoch(loss, patience=config.optimiser.plateau_patience)
    assert learning_rate(config, 0, plateau) == 1e-5
    plateau = plateau.after_epoch(0.7, patience=config.optimiser.plateau_patience)
    assert learning_rate(config, 0, plateau) == pytest.approx(2e-6)
    assert learning_rate(config, 0, Plateau(cuts=20)) == 1e-10


def test_training_ends_at_the_plateau_after_the_last_cut():
    """B §4.2: at most five cuts, then early stopping; 0 cuts = no end."""
    config = get_config("paper")
    config.optimiser.plateau_cuts = 5
    assert [exhausted(config, Plateau(cuts=cuts)) for cuts in (0, 5, 6)] == [False, False, True]
    config.optimiser.plateau_cuts = 0
    assert not exhausted(config, Plateau(cuts=20))


def test_a_track_term_is_of_triplets():
    config = get_config("paper")
    config.loss.update(method="proxy", track_weight=0.5)
    with pytest.raises(ValueError, match=r"loss.track_weight is 0.5, expected 0 with the method"):
        config_module.check(config, devices=8)
