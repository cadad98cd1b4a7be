"""One run at a time in a directory."""

import subprocess
import sys

import pytest

from jaxsim.workdir import Claim


def test_a_second_run_is_refused_until_the_first_is_done(tmp_path):
    first = Claim(tmp_path / "run")
    with pytest.raises(ValueError, match=r"run: another run writes there; wait for its end or use"):
        Claim(tmp_path / "run")
    Claim(tmp_path / "other").release()
    first.release()
    Claim(tmp_path / "run").release()
    assert [path.name for path in (tmp_path / "run").iterdir()] in ([], ["lock"])


def test_a_dead_process_keeps_nobody_out(tmp_path):
    code = (
        "import filelock, sys, time\n"
        f"lock = filelock.FileLock({str(tmp_path / 'lock')!r}); lock.acquire()\n"
        "print('locked', flush=True); time.sleep(100)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    with pytest.raises(ValueError, match="another run writes there"):
        Claim(tmp_path)
    process.kill()
    process.wait()
    Claim(tmp_path).release()
