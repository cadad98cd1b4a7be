"""A run whose validation losses are given: its logged rates, cuts, end, resumption, best step."""

import json

import pytest

from jaxsim.training import run
from jaxsim.training.config import check
from jaxsim.training.run import Measured
from jaxsim.training.saving.checkpoints import Checkpoints
from tests.helpers.runs import tiny, training_tracks

LOSSES = (0.5, 0.4, 0.45, 0.41, 0.39, 0.6, 0.7, 0.1, 0.1, 0.1, 0.05)  # one an epoch
SCORES = (0.5, 0.6, 0.9, 0.7, 0.8, 0.7, 0.6, 0.5, 0.5, 0.5, 0.5)


class Scripted:
    """Measures what is written, whatever the state."""

    def measure(self, state) -> Measured:
        epoch = int(state.step) - 1
        score = {"genre": SCORES[epoch], "mood": SCORES[epoch]}
        return Measured(LOSSES[epoch], score, score, tracks=1)

    def compare(self, trained, training):
        return {}

    def conclude(self, table, path) -> None:
        path.write_text("{}")


@pytest.fixture(scope="module")
def config(prepared_directory):
    """One step an epoch."""
    result = tiny(prepared_directory, num_steps=11, steps_per_epoch=1)
    result.optimiser.update(
        schedule="plateau",
        learning_rate=1e-3,
        warmup_steps=0,
        plateau_factor=5.0,
        plateau_patience=2,
        plateau_cuts=2,
        minimum_rate=1.5e-4,
    )
    result.checkpoint_minutes = 1000.0
    check(result, devices=8)
    return result


@pytest.mark.slow
def test_the_rate_falls_on_plateaus_and_the_run_ends(config, tmp_path) -> None:
    data = training_tracks(config)
    for stop in (3, 6, 11):  # resumed after the first epoch without improvement, before a cut
        part = config.copy_and_resolve_references()
        part.num_steps = stop
        run.train(part, tmp_path, data, Scripted())
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    rates = [row["learning_rate"] for row in rows if "learning_rate" in row]
    losses = [row["validation_loss"] for row in rows if "validation_loss" in row]
    # Cut after 0.45 and 0.41, which are above 0.4; after 0.6 and 0.7, above 0.39; and a third time
    # after the second and third 0.1, which are not below the first.
    assert rates == pytest.approx([1e-3] * 4 + [2e-4] * 3 + [1.5e-4] * 3)
    assert losses == list(LOSSES[:10]), "two cuts were allowed, so the third plateau is the end"
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    assert checkpoints.best_step() == 3, "the highest score, not the lowest loss"
    checkpoints.close()
