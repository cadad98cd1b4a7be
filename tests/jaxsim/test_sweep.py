"""A sweep: one directory per configuration, done ones skipped, the first failure ends it."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from jaxsim import sweep


def test_runs_lie_under_the_names_of_their_configurations() -> None:
    found = sweep.run_directories(["configs/a/one.py:demo", "two.py"], Path("runs"))
    assert found == {"configs/a/one.py:demo": Path("runs/one"), "two.py": Path("runs/two")}
    for twice in (["a/one.py", "b/one.py"], ["one.py", "one.py"]):
        with pytest.raises(ValueError, match="'one' more than once"):
            sweep.run_directories(twice, Path("runs"))


def test_stops_at_the_first_run_that_fails(tmp_path: Path, monkeypatch, capfd) -> None:
    """Each in a process of its own, with the options that all get; 130 = interrupted."""
    fake = tmp_path / "jaxsim_fake_train.py"
    fake.write_text(
        "import sys; print(sys.argv[1:]); sys.exit(130 if 'two' in sys.argv[1] else 0)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(sweep, "TRAIN", "jaxsim_fake_train")
    directories = {name: tmp_path / name for name in ("one", "two", "three")}
    with pytest.raises(SystemExit) as stopped:
        sweep.train_all(directories, ["--config.num_steps=5"])
    assert stopped.value.code == 130
    lines = capfd.readouterr().out.splitlines()
    assert lines == [
        f"['--config={name}', '--workdir={tmp_path / name}', '--config.num_steps=5']"
        for name in ("one", "two")
    ]


def test_what_follows_two_dashes_goes_to_every_training(tmp_path: Path, monkeypatch) -> None:
    trained, evaluated = [], []

    def evaluate(command: list[str]) -> SimpleNamespace:
        evaluated.extend(command[1:])
        return SimpleNamespace(returncode=3)

    monkeypatch.setattr(sweep, "train_all", lambda *given: trained.extend(given))
    monkeypatch.setattr(sweep.subprocess, "run", evaluate)
    options = ["--config.num_steps=5", "--", "--help"]
    with pytest.raises(SystemExit) as stopped:
        sweep.main([f"--workdir={tmp_path}", "--configs=a/one.py:demo,two.py", "--", *options])
    assert stopped.value.code == 3
    assert trained == [
        {"a/one.py:demo": tmp_path / "one", "two.py": tmp_path / "two"},
        options,
    ]
    assert evaluated == [
        "-m",
        "jaxsim.evaluate",
        f"--checkpoint={tmp_path / 'one'},{tmp_path / 'two'}",
        f"--out={tmp_path / 'report'}",
        "--split=test",
        "--triplets=",
        "--embeddings=",
        "--estimates=",
    ]
