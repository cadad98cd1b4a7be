"""Every field of `config.optimiser` reaches the steps of a run, in one table.

For each row the rates that the steps get, and their number, are those of a naive computation with
that value, and not those of the published one. What a step does with its rate: `test_gradients`;
which layers it changes: `test_train_step`.
"""

import itertools
import json
import math
from typing import Any

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs.six_dim import get_config
from jaxsim.objective.losses import Total
from jaxsim.objective.terms import Terms
from jaxsim.training import run, train_step
from jaxsim.training.config import check
from jaxsim.training.feed import Feed
from jaxsim.training.run import Measured
from jaxsim.training.saving.checkpoints import Checkpoints
from tests.helpers.batches import fake_data
from tests.helpers.runs import tiny

STEPS, PER_EPOCH = 83, 3  # the last epoch is short
# One an epoch: two improvements, then none for a while, a better one, and none again.
LOSSES = [0.7, 0.5, *[0.5, 0.6] * 6, 0.4, *[0.45] * 13]
PUBLISHED = get_config().optimiser
ELSEWHERE = {"layers"}
FIELDS = {
    "published": {},
    "learning_rate": {"learning_rate": 3e-3},
    "warmup_steps": {"warmup_steps": 7},
    "schedule": {"schedule": "cosine"},
    "plateau_factor": {"plateau_factor": 1.7},
    "plateau_patience": {"plateau_patience": 4},
    "plateau_cuts": {"plateau_cuts": 1},
    "minimum_rate": {"minimum_rate": 1.5e-6},
}


def of_rates(optimiser: ConfigDict) -> dict[str, Any]:
    return {name: value for name, value in optimiser.items() if name not in ELSEWHERE}


def expected_rates(
    *,
    learning_rate: float,
    warmup_steps: int,
    schedule: str,
    plateau_factor: float,
    plateau_patience: int,
    plateau_cuts: int,
    minimum_rate: float,
) -> list[float]:
    """The rate of every step, by a loop over epochs (A §3.4, B §4.2)."""
    rates: list[float] = []
    rate, lowest, since, cuts = learning_rate, math.inf, 0, 0
    for loss in LOSSES:
        for _ in range(min(PER_EPOCH, STEPS - len(rates))):
            number = len(rates)
            full = rate
            if schedule == "cosine":
                full = learning_rate * (1 + math.cos(math.pi * number / STEPS)) / 2
            warm = (number + 1) / warmup_steps if number < warmup_steps else 1
            rates.append(full * warm)
        since = 0 if loss < lowest else since + 1
        lowest = min(lowest, loss)
        if since == plateau_patience:
            rate, since, cuts = max(rate / plateau_factor, minimum_rate), 0, cuts + 1
            if cuts > plateau_cuts > 0:
                break
    return rates


def start(step: int) -> train_step.State:
    return train_step.State(np.int32(step), {"a": np.zeros(1)}, {}, ())


class Scripted:
    """Measures what is written, whatever the state."""

    def measure(self, state) -> Measured:
        score = {"genre": 0.5}
        return Measured(LOSSES[(int(state.step) - 1) // PER_EPOCH], score, score, tracks=1)

    def compare(self, trained, training):
        return {}

    def conclude(self, table, path) -> None:
        path.write_text("{}")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The rates that the steps of a run get; these do nothing but count, and nothing is saved."""
    rates: list[float] = []
    none = Total(np.zeros(2), np.zeros(2))
    beside = Total(np.zeros(()), np.zeros(()))
    terms = Terms(none, none, none, none, *[beside] * 4)
    count = jax.jit(lambda step: step + 1)

    def step(state, batch, rate):
        rates.append(float(jax.device_get(rate)))
        return state.replace(step=count(state.step)), terms

    monkeypatch.setattr(train_step, "initial_state", lambda config, shapes: start(0))
    monkeypatch.setattr(train_step, "mapped_train_step", lambda config: step)
    monkeypatch.setattr(Feed, "batches", lambda feed, **steps: itertools.repeat({}))
    monkeypatch.setattr(Feed, "place", lambda feed, batch: batch)
    monkeypatch.setattr(run.Run, "_foresee", lambda *given: None)
    monkeypatch.setattr(Checkpoints, "save", lambda *given, **options: None)
    monkeypatch.setattr(run, "export_state", lambda *given: None)
    return rates


def test_the_table_has_every_field() -> None:
    assert FIELDS.keys() - {"published"} == set(PUBLISHED) - ELSEWHERE
    for name, changes in FIELDS.items():
        assert name == "published" or changes.keys() == {name}


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_the_optimiser_is_heeded(field: str, given: list[float], tmp_path) -> None:
    config = tiny("", num_steps=STEPS, steps_per_epoch=PER_EPOCH, log_steps=1)
    config.optimiser = PUBLISHED.copy_and_resolve_references()
    config.optimiser.update(FIELDS[field])
    check(config, devices=8)
    expected = expected_rates(**of_rates(config.optimiser))
    run.train(config, tmp_path, fake_data(), Scripted())
    np.testing.assert_allclose(given, expected, rtol=1e-6)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    logged = [row["learning_rate"] for row in rows if "learning_rate" in row]
    np.testing.assert_allclose(logged, expected, rtol=1e-12)
    published = expected_rates(**of_rates(PUBLISHED))
    assert len(set(published)) == 3, "two cuts"
    different = len(expected) != len(published) or not np.allclose(expected, published, rtol=1e-3)
    assert different == (field != "published")


def test_a_run_that_starts_within_an_epoch_goes_on_with_it(
    given: list[float], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads the batches that are left, and validates where others do."""
    read = []

    def batches(feed, *, first_step: int, num_steps: int):
        read.append((first_step, num_steps))
        return itertools.repeat({})

    monkeypatch.setattr(train_step, "initial_state", lambda config, shapes: start(4))
    monkeypatch.setattr(Feed, "batches", batches)
    config = tiny("", num_steps=11, steps_per_epoch=PER_EPOCH)
    config.optimiser.update(schedule="cosine", warmup_steps=0, learning_rate=1.0)
    run.train(config, tmp_path, fake_data(), Scripted())
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "validation_loss" in row] == [6, 9, 11]
    assert read == [(4, 6), (6, 9), (9, 11)]
    expected = [(1 + math.cos(math.pi * step / 11)) / 2 for step in range(4, 11)]
    np.testing.assert_allclose(given, expected, rtol=1e-6)
