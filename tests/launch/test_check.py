"""What a compiled step says of itself, and the compilation for a slice that is not there."""

import importlib.metadata
import importlib.util
import subprocess
from types import SimpleNamespace

import pytest

from input_pipeline.datasets.batches import composed_batches
from input_pipeline.datasets.partners import partners_of
from jaxsim.training.data import open_splits
from launch import check
from launch.cycles import instruction_cycles, moved_bytes
from tests.helpers import programs

# A loop of 3 turns with a loop of 4 turns inside; one instruction has no estimate.
PROGRAM = """\
HloModule jit_step, is_scheduled=true

%fused (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
}

%inner_condition (arg.1: (s32[], f32[8])) -> pred[] {
  %limit.1 = s32[]{:T(128)} constant(4)
  %i.1 = s32[]{:T(128)} get-tuple-element(%arg.1), index=0
  ROOT %lt.1 = pred[] compare(%i.1, %limit.1), direction=LT, backend_config={"flag_configs":[]}
}

%inner_body (arg.2: (s32[], f32[8])) -> (s32[], f32[8]) {
  %x.2 = f32[8]{0} fusion(%y), calls=%fused, backend_config={"estimated_cycles":"10","x":[]}
}

%outer_condition.7 (arg.3: (s32[], f32[8])) -> pred[] {
  %limit.3 = s32[]{:T(128)} constant(3)
  ROOT %lt.3 = pred[] compare(%i.3, %limit.3), direction=LT
}

%outer_body (arg.4: (s32[], f32[8])) -> (s32[], f32[8]) {
  %x.4 = f32[8]{0} fusion(%y), calls=%fused, backend_config={"estimated_cycles":"100"}
  %w.4 = (s32[], f32[8]) while(%t.4), condition=%inner_condition, body=%inner_body, metadata={}
}

ENTRY %main.9 (param.0: f32[8]) -> f32[8] {
  %x = f32[8]{0} fusion(%param.0), calls=%fused, backend_config={"estimated_cycles":"1000"}
  %w = (s32[], f32[8]) while(%t), condition=%outer_condition.7, body=%outer_body
  ROOT %c = f32[8]{0} copy(%x)
}
"""


def run_check(change: str, *options: str) -> subprocess.CompletedProcess:
    """`python -m launch.check` with these options, on a machine changed by check_launch.py."""
    return subprocess.run(
        programs.command("check_launch", change, "--config=configs/six_dim.py", *options),
        cwd=programs.ROOT,
        env=programs.environment(),
        capture_output=True,
        text=True,
    )


def test_loops_count_as_often_as_they_turn():
    found = dict(instruction_cycles(PROGRAM, bytes_per_cycle=8))
    assert sum(found.values()) == 1000 + 3 * (100 + 4 * 10) + 8  # the copy: 64 bytes


def test_a_loop_of_unknown_length_is_no_number():
    with pytest.raises(ValueError, match=r"a loop of unknown length: %inner_condition"):
        list(instruction_cycles(PROGRAM.replace("constant(4)", "parameter(0)"), 8))


@pytest.mark.parametrize(
    ("instruction", "moved"),
    [
        ("%s = bf16[2,4]{1,0} select-and-scatter(%a, %b), window={size=2}", 16 + 12 + 40),
        ("ROOT %s = (f32[3]{0:T(128)}, pred[]) sort(%a, %unknown), dimensions={0}", 12 + 1 + 12),
        ("%s = f32[3]{0:T(8,128)(2,1)S(1)} get-tuple-element(%a), index=0", 0),
        ("%s = (f32[3], f32[3], u32[]) copy-start(%a)", 0),
        ("%s = f32[12]{0} all-gather(%a), dimensions={0}", 0),
        ('%s = f32[12]{0} custom-call(%a), custom_call_target="ConcatBitcast"', 0),
        ("backend_config={}", 0),
    ],
)
def test_what_has_no_estimate_moves_its_operands_and_results(instruction: str, moved: int):
    assert moved_bytes(f"  {instruction}", {"%a": 12, "%b": 40}) == moved


def test_the_report(config):
    """By hand: 3e6 cycles at 1.5 GHz are 2 ms; 4 hosts; 14.5 GiB / 3 GiB * 128 examples."""
    config.batch_size = 2048
    devices = [SimpleNamespace(process_index=i // 4) for i in range(16)]
    gib = 2**30
    found = check.Needs(gib, 3 * gib, gib // 4, 128 * 2e9, 3_000_000)
    # mel 129 x 128 x 2, CENS 129 x 12 x 2, onset 512 x 4, 50 tags, tempo, key, index, track
    example = 33_024 + 3_096 + 2_048 + 50 + 12
    assert check.describe(config, "v5e:4x4", devices, found).splitlines() == [
        "v5e:4x4: 16 chips, 4 hosts; batch of 2048, 128 a chip",
        "memory: fits: 4.25 of 15.75 GiB a chip "
        "(state and batch 1.00, temporary 3.00, program 0.25); "
        "at most about 618 examples per chip",
        "step: 2.0 ms estimated (3,000,000 cycles at 1.50 GHz), 1,024,000 examples/s in all",
        "work: 2.00 GFLOP an example, 65.0% of the peak of 197 TFLOP/s",
        f"input: each host must deliver 256,000 examples/s, {256_000 * example / 1e6:,.1f} MB/s "
        f"({example:,} bytes an example)",
    ]
    found = check.Needs(gib, 16 * gib, gib // 4, 128 * 2e9, 3_000_000)
    text = check.describe(config, "v5e:4x4", devices, found)
    assert "memory: DOES NOT FIT: 17.25 of 15.75 GiB" in text
    assert "at most about 116 examples per chip" in text
    found = check.Needs(gib, 0, gib // 4, 128 * 2e9, 3_000_000)
    text = check.describe(config, "v5e:4x4", devices, found)
    assert "program 0.25); everything temporary stays in the chip's own memory" in text


def test_the_labels_are_those_of_the_data(config, prepared_directory):
    config.data.dir = str(prepared_directory)
    config.dimensions = ("genre", "tempo")
    config.loss.track_weight = 0.5
    data = open_splits(config, ("train",))["train"]
    groups = partners_of(data, ("genre",), tempo_tolerance=5.0, key_relation="parallel")
    batch = next(composed_batches(data, groups, batch_size=4, seed=0, first_step=0, num_steps=1))
    found = check.example_shapes(config, rows=4)
    labels = {"genre", "tempo", "index", "track", "start"}
    assert set(found) == {"mel", "cens", "onset"} | labels
    for name, each in found.items():
        assert (each.shape, each.dtype) == (batch[name].shape, batch[name].dtype), name


def test_without_the_compiler_one_line_says_what_to_install():
    found = run_check("without_libtpu", "--topology=v5e:2x2")
    assert found.returncode == 1
    assert found.stderr.strip() == (
        "error: the TPU compiler (libtpu) is not installed; install it with: pip install '.[tpu]'"
    )


def test_an_unknown_chip(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    with pytest.raises(ValueError, match=r"--topology is 'v9:2x2', expected one of v5e, v5p"):
        check.slice_devices("v9:2x2")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu")
def test_a_narrow_network_is_compiled_for_a_slice():
    found = run_check(
        "nothing",
        "--topology=v5e:4x4",
        "--config.dimensions=('genre','mood')",
        "--config.model.inputs=('mel',)",
        "--config.model.width=0.02",
        "--config.model.blocks=1",
        "--config.model.branch_blocks=1",
        "--config.model.embedding_size=8",
        "--config.batch_size=128",
        "--config.loss.method=proxy",
    )
    assert found.returncode == 0, found.stderr
    assert "v5e:4x4: 16 chips, 4 hosts; batch of 128, 8 a chip" in found.stdout
    assert "memory: fits: 0." in found.stdout


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="needs libtpu")
def test_a_slice_of_no_shape():
    with pytest.raises(ValueError, match=r"--topology is 'v5e:3x3': INVALID_ARGUMENT"):
        check.slice_devices("v5e:3x3")


def test_a_step_that_was_checked_is_not_compiled_again(monkeypatch, tmp_path, capsys):
    class Lowered:
        compilations = 0

        def __init__(self, text: str):
            self.text = text

        def as_text(self) -> str:
            return self.text

        def compile(self) -> None:
            Lowered.compilations += 1

    monkeypatch.setenv("JAXSIM_DATA", str(tmp_path))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1")
    found = check.Needs(1, 2, 3, 4.5, 6)
    monkeypatch.setattr(check, "needs", lambda compiled, chip: found)
    step = "%1 = add\n" * 10_000
    for text, topology, count in (
        (step, "v5e:2x2", 1),
        (step, "v5e:2x2", 1),
        (step, "v5e:4x4", 2),
        (step + "%2 = add", "v5e:2x2", 3),
    ):
        assert check._needs_of(Lowered(text), topology) == found
        assert Lowered.compilations == count
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2")
    check._needs_of(Lowered(step), "v5e:2x2")
    assert Lowered.compilations == 4
    said = "compiling the step takes about 7 min of processor time (10,000 instructions)"
    assert capsys.readouterr().err.count(said) == 3
