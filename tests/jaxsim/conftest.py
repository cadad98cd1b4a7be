"""Fixtures of runs that several tests look at."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(params=["cpu", "tpu"])
def forms(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forms of computation that a platform takes, on this one."""
    from jax import lax

    def chosen(*operands, default=None, **forms):
        return forms.get(request.param, default)(*operands)

    monkeypatch.setattr(lax, "platform_dependent", chosen)


@pytest.fixture(scope="session")
def watched_run(
    prepared_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[str]]:
    """A run of four steps without interruption, of which the second and third are profiled.

    And what JAX said that it compiled.
    """
    import jax

    from jaxsim.training.machines import stopping
    from tests.helpers.runs import tiny, trained

    workdir, said = tmp_path_factory.mktemp("finished"), []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("jax").addHandler(handler)
    with jax.log_compiles():
        config = tiny(prepared_directory)
        assert trained(config, workdir, profile="1:3") == stopping.FINISHED
    logging.getLogger("jax").removeHandler(handler)
    return workdir, said


@pytest.fixture(scope="session")
def finished(watched_run: tuple[Path, list[str]]) -> Path:
    """The directory of a run of four steps."""
    return watched_run[0]


@pytest.fixture(scope="session")
def classifier(finished: Path, prepared_directory: Path, tmp_path_factory) -> Path:
    """The checkpoint of a classifier of the whole space, with random parameters."""
    from jaxsim.training.saving.checkpoints import Checkpoints, restore_for_inference
    from jaxsim.training.schedule import Plateau
    from tests.helpers.runs import tiny, training_tracks
    from tests.helpers.states import drawn_state

    config = tiny(prepared_directory)
    config.loss.update(method="classification", disentangled=False)
    data = training_tracks(config)
    examples = {name: data.tags[name] for name in config.dimensions}
    examples["mel"] = np.zeros((4, 129, 128), np.float16)
    workdir = tmp_path_factory.mktemp("classifier")
    record = restore_for_inference(finished).record
    record["config"] = json.loads(config.to_json())
    checkpoints = Checkpoints(workdir / "checkpoints")
    checkpoints.save(drawn_state(config, examples), Plateau(), record)
    checkpoints.close()
    return workdir
