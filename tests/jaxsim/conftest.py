"""Fixtures of runs that several tests look at."""

from pathlib import Path

import pytest

from tests.jaxsim.tiny import tiny, training_tracks_only


def run(directory: Path, workdir: Path, **loss: object) -> Path:
    from jaxsim import train

    config = tiny(directory)
    config.loss.update(loss)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "open_data", training_tracks_only)
        assert train.train(config, workdir)
    return workdir


@pytest.fixture(scope="session")
def finished(prepared_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps without interruption."""
    return run(prepared_directory, tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="session")
def classifier(prepared_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a classification loss on the whole space."""
    workdir = tmp_path_factory.mktemp("classifier")
    return run(prepared_directory, workdir, method="classification", disentangled=False)
