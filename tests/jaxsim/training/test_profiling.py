"""Which steps are recorded, from wherever a run starts, and that there is a recording then; the
operations of a step."""

import jax
import jax.numpy as jnp
import pytest

from configs.six_dim import get_config
from jaxsim.network.plan import plan_of
from jaxsim.training import profiling


@pytest.fixture
def recorded(monkeypatch):
    """What the profiler was told."""
    told = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: told.append("start"))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: told.append("stop"))
    return told


def run(told, *, steps: range, first_step: int, last_step: int, folder="profile") -> list[str]:
    """Goes through the steps of a run; returns what is said, and adds the steps to `told`."""
    said: list[str] = []
    trace = profiling.Trace(steps, folder, first_step=first_step, say=said.append)
    for step in range(first_step, last_step):
        trace.before_step(step, jnp.zeros(2))
        told.append(step)
        trace.after_step(step, jnp.zeros(2))
    trace.close()
    return said


def test_parse():
    assert profiling.parse("100:110", num_steps=110) == range(100, 110)
    assert profiling.parse("0:1", num_steps=1) == range(1)


@pytest.mark.parametrize(
    "text", ["", "5", "5:", ":5", "5:5", "6:5", "-1:5", "1.0:2", "100:111", "0:1:2", "a:b", "٣:5"]
)
def test_a_wrong_range_is_one_clear_line(text):
    with pytest.raises(ValueError, match=r"--profile is .*, expected steps .* last <= 110 "):
        profiling.parse(text, num_steps=110)


def test_the_steps_that_were_asked_for(recorded):
    (said,) = run(recorded, steps=range(2, 4), first_step=0, last_step=6)
    assert recorded == [0, 1, "start", 2, 3, "stop", 4, 5]
    assert said.startswith("profile of steps 2 to 4: profile ")


def test_a_run_that_starts_in_the_middle_records_the_rest(recorded):
    assert len(run(recorded, steps=range(2, 5), first_step=3, last_step=6)) == 1
    assert recorded == ["start", 3, 4, "stop", 5]


def test_a_run_that_starts_later_says_so(recorded):
    (said,) = run(recorded, steps=range(2, 4), first_step=4, last_step=6)
    assert recorded == [4, 5]
    assert said == "--profile: the run is already at step 4; nothing is recorded"


def test_a_run_that_is_stopped_in_the_middle_keeps_what_there_is(recorded):
    assert len(run(recorded, steps=range(2, 9), first_step=0, last_step=4)) == 1
    assert recorded == [0, 1, "start", 2, 3, "stop"]


def test_nothing_is_recorded_unasked(recorded):
    assert run(recorded, steps=range(0), first_step=0, last_step=3) == []
    assert recorded == [0, 1, 2]


def test_operations_are_those_of_three_forward_passes():
    config = get_config()
    sizes = {"mel": (128, 129), "tempogram": (384, 129), "cens": (16, 129)}
    assert profiling.operations(config) == 3 * 256 * plan_of(config.model).operations(sizes)
    config.optimiser.layers = "last"
    last = 2 * 256 * 384  # the dense layer's
    assert profiling.operations(config) == 256 * (
        plan_of(config.model).operations(sizes) + 2 * last
    )
    config.optimiser.layers = "all"
    config.batch_size, config.features.segment_frames = 32, 65
    narrower = {kind: (bins, 65) for kind, (bins, _) in sizes.items()}
    assert profiling.operations(config) == 3 * 32 * plan_of(config.model).operations(narrower)


def test_the_rate_of_the_processors_is_plausible():
    assert 1e8 < profiling.processor_rate() < 1e14


def test_the_recording_is_a_file(tmp_path):
    run([], steps=range(1, 3), first_step=0, last_step=3, folder=tmp_path / "profile")
    (trace,) = (tmp_path / "profile").rglob("*.xplane.pb")
    assert trace.stat().st_size
