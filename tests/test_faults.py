"""Every fault of `benchmarks.faults`, fewer times: a run loses nothing, or says what is wrong."""

import pytest

from benchmarks import faults, tiny_runs

pytestmark = [pytest.mark.slow, pytest.mark.faults]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return tiny_runs.set_up(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("while_saving", [False, True])
def test_kills(bench, while_saving):
    assert faults.kills(bench, times=2, while_saving=while_saving).lost == "nothing"


def test_sigterm(bench):
    assert faults.sigterm(bench, times=1).lost == "nothing"


def test_disk_full(bench):
    assert faults.disk_full(bench, times=1).lost == "nothing"


@pytest.mark.parametrize("what", faults.DAMAGES)
def test_damaged_shards(bench, what):
    assert faults.damaged_shard(bench, what).lost == "nothing"


@pytest.mark.parametrize(
    "fault",
    [faults.feature_of_nan, faults.no_valid_triplet, faults.clock_backwards, faults.two_runs],
)
def test_other_faults(bench, fault):
    assert fault(bench).lost.startswith("nothing")


def test_memory_stays_flat(bench):
    assert faults.soak(bench, minutes=1).lost.startswith("nothing")


def test_a_difference_is_noticed(bench):
    """Else the tests above would see nothing."""
    workdir = bench.workdir("other")
    with pytest.raises(tiny_runs.Lost, match=r"parameters and moments,( plateau,)? exported model"):
        bench.finish(workdir, "--config.seed=1")
    with pytest.raises(tiny_runs.Lost, match="no clear error but exit code 0"):
        bench.refused(bench.workdir("whole again"))
