"""One run at a time in a directory."""

import subprocess

import pytest

from jaxsim.training.saving.workdir import Claim
from tests.helpers import programs


def test_a_second_run_is_refused_until_the_first_is_done(tmp_path):
    first = Claim(tmp_path / "run")
    with pytest.raises(ValueError, match=r"run: another run writes there; wait for it to end or"):
        Claim(tmp_path / "run")
    Claim(tmp_path / "other").release()
    first.release()
    Claim(tmp_path / "run").release()
    # The lock's file may stay or go, as filelock decides; nothing else is left.
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left - {"lock"} == set()


def test_a_dead_process_keeps_nobody_out(tmp_path):
    process = subprocess.Popen(
        programs.command("hold_lock", tmp_path / "lock"), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(ValueError, match="another run writes there"):
        Claim(tmp_path)
    process.kill()
    process.wait()
    Claim(tmp_path).release()
