"""Which steps are recorded, from wherever a run starts; and that there is a recording then."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxsim.network.shapes import DEVICE_AXIS
from jaxsim.training import profiling
from jaxsim.training.machines import parallel


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


def test_flops_cost_no_second_compilation():
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event) if "backend_compile" in event else None
    )
    mapped = parallel.map_over_devices(
        lambda state, own: state + jax.lax.psum(jnp.sum(own @ own), DEVICE_AXIS),
        split=(False, True),
        mapping="pmap",
        donate=True,
    )
    state = parallel.replicate(np.float32(1))
    own = parallel.to_devices(np.ones((8 * 30, 30), np.float32), local_devices=8)
    jax.block_until_ready((state, own))
    before = len(compiled)
    found = profiling.flops(mapped, state, own)
    assert 2 * 30**3 <= found < 1.2 * 2 * 30**3, "of one device"
    for _ in range(2):
        state = mapped(state, own)
    assert float(state) == 1 + 2 * 8 * 30**3
    assert len(compiled) == before + 1


def test_the_operations_are_foreseen_before_the_compilation():
    seen = []
    product = jax.jit(lambda x: x @ x)
    found = profiling.flops(product, jnp.ones((8, 8)), foresee=lambda _, flops: seen.append(flops))
    assert seen == [found]
    assert 2 * 8**3 <= found <= 2.2 * 8**3


def test_the_rate_of_the_processors_is_plausible():
    assert 1e8 < profiling.processor_rate() < 1e14


def test_the_recording_is_a_file(tmp_path):
    run([], steps=range(1, 3), first_step=0, last_step=3, folder=tmp_path / "profile")
    (trace,) = (tmp_path / "profile").rglob("*.xplane.pb")
    assert trace.stat().st_size
