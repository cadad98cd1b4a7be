"""The command that trains: which folder it writes to."""

from pathlib import Path

import pytest

from jaxsim import train
from jaxsim.command_line import config_name
from jaxsim.network import compilation
from jaxsim.training.machines import stopping


@pytest.fixture
def workdirs(monkeypatch):
    """The folders of the runs that were started; none of them trains."""
    started = []

    def start(config, workdir, *, profile):
        started.append(workdir)
        return stopping.FINISHED

    monkeypatch.setattr(train, "train", start)
    monkeypatch.setattr(compilation, "prepare", lambda: None)
    monkeypatch.setattr(stopping, "leave", lambda code: None)
    return started


def test_a_run_is_named_after_its_configuration(workdirs, capsys):
    train.main(["--config=configs/six_dim.py"])
    assert workdirs == [Path("runs/six_dim")]
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "runs/six_dim: the run; --workdir chooses another folder"


def test_the_folder_can_be_chosen(workdirs, capsys):
    train.main(["--config=configs/six_dim.py:demo", "--workdir=elsewhere"])
    assert workdirs == [Path("elsewhere")]
    assert not capsys.readouterr().err


def test_several_processes_need_a_folder_that_they_share(workdirs, capsys):
    with pytest.raises(SystemExit) as exited:
        train.main(["--config=configs/six_dim.py", "--distributed"])
    assert exited.value.code == 2
    assert "--distributed needs a --workdir" in capsys.readouterr().err
    assert not workdirs


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ("configs/six_dim.py", "six_dim"),
        ("configs/six_dim.py:demo", "six_dim_demo"),
        ("/somewhere/lee2020_ismir/proxy.py:scores", "proxy_scores"),
    ],
)
def test_names_of_configurations(config, name):
    assert config_name(config) == name
