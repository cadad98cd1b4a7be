"""Compiles the training step for a TPU slice, on a machine without TPUs, and reports its needs.

python -m launch.check --config=configs/six_dim.py --topology=v5e:16x16 --config.batch_size=65536

The step is the one that `jaxsim.train` runs, compiled by the TPU's own compiler (pip install
'.[tpu]'), so the memory is exact. The time is the compiler's estimate, which includes no waiting
for input or for other chips. A narrow network takes minutes to compile, the papers' a quarter of an
hour; half of that with LIBTPU_INIT_ARGS=--xla_tpu_scoped_vmem_limit_kib=16384, for a step estimated
to be a tenth slower (`jaxsim.network.compilation` has 65536). What was found is kept for the next
check of the same step, in $JAXSIM_DATA or ~/.cache/jaxsim.
"""

import argparse
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence

# Before JAX starts: use no TPU, and do not look for one on the network.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")

import jax
import numpy as np
from jax.experimental import topologies
from ml_collections import ConfigDict

from input_pipeline import command_line
from input_pipeline.cache import cache_directory
from input_pipeline.errors import first_line
from input_pipeline.files import write_text
from jaxsim.command_line import parse_with_config
from jaxsim.network import compilation
from jaxsim.training import config as config_module
from jaxsim.training import train_step
from jaxsim.training.data import open_splits
from jaxsim.training.example import batch_shapes, tag_counts
from launch.cycles import instruction_cycles

TAGS = {"genre": 28, "mood": 12, "instrument": 5, "era": 5}  # of the MSD's 50
GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """A chip. `clock` [Hz] is `peak` divided by the operations of its matrix units per cycle."""

    memory: float  # bytes that a program may use, as the compiler counts them
    peak: float  # bfloat16 operations per second (cloud.google.com/tpu/docs)
    bandwidth: float  # bytes per second of its memory (same source)
    clock: float


CHIPS = {
    "v5e": Chip(15.75 * GIB, 197e12, 819e9, 1.50e9),  # 4 units of 128 x 128
    "v5p": Chip(95.74 * GIB, 459e12, 2765e9, 1.75e9),  # 8 of 128 x 128
    "v6e": Chip(31.25 * GIB, 918e12, 1640e9, 1.75e9),  # 4 of 256 x 256
}


@dataclasses.dataclass(frozen=True)
class Needs:
    """What the compiled step needs, per chip."""

    state: int  # bytes: parameters, moments, statistics, and the batch
    temporary: int  # bytes: everything between
    code: int  # bytes
    flops: float
    cycles: float

    @property
    def memory(self) -> int:
        return self.state + self.temporary + self.code

    def room(self, examples: int, chip: Chip) -> str:
        """How many examples fit on a chip, in words.

        `temporary` is that of `examples` and grows slightly faster than they do: at four times the
        examples, a tenth less fits.
        """
        if not self.temporary:
            return "everything temporary stays in the chip's own memory"
        fitting = int((chip.memory - self.state - self.code) / self.temporary * examples)
        return f"at most about {fitting:,} examples per chip"


def chip_of(topology: str) -> Chip:
    return CHIPS[topology.partition(":")[0]]


def slice_devices(topology: str) -> Sequence[jax.Device]:
    """The devices of a slice such as "v5e:4x4", which need not exist on this machine.

    Raises:
      ModuleNotFoundError: libtpu is not installed.
      ValueError: there is no such slice.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise ModuleNotFoundError(
            "the TPU compiler (libtpu) is not installed; install it with: pip install '.[tpu]'"
        )
    kind = topology.partition(":")[0]
    if kind not in CHIPS:
        raise ValueError(
            f"--topology is {topology!r}, expected one of {', '.join(CHIPS)} and its shape, "
            "such as v5e:4x4 or v5p:2x2x1"
        )
    compilation.widen_scratch()
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=topology)
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"--topology is {topology!r}: {first_line(error)}") from error
    return found.devices


def example_shapes(config: ConfigDict, *, rows: int) -> dict[str, jax.ShapeDtypeStruct]:
    """The arrays of a training batch [rows, ...]; labels as in `config.data`, else the MSD."""
    tags = (
        tag_counts(open_splits(config, ("train",))["train"])
        if config.data.dir or config.data.dirs
        else TAGS
    )
    return batch_shapes(config, tags, rows=rows)


def compile_step(config: ConfigDict, devices: Sequence[jax.Device]) -> jax.stages.Compiled:
    """The training step of `jaxsim.train`, compiled for these devices."""
    return lower_step(config, devices).compile()


def lower_step(config: ConfigDict, devices: Sequence[jax.Device]) -> jax.stages.Lowered:
    """The training step of `jaxsim.train` for these devices, before it is compiled."""
    own = example_shapes(config, rows=config.batch_size // len(devices))
    state = train_step.state_shapes(config, own)
    dealt = {
        name: jax.ShapeDtypeStruct((len(devices), *each.shape), each.dtype)
        for name, each in own.items()
    }
    rate = jax.ShapeDtypeStruct((), np.float32)
    return train_step.mapped_train_step(config, devices=devices).lower(state, dealt, rate)


def needs(compiled: jax.stages.Compiled, chip: Chip) -> Needs:
    """What the compiler reports about a step."""
    memory, cost, program = compiled.memory_analysis(), compiled.cost_analysis(), compiled.as_text()
    assert memory is not None and cost is not None and program is not None, "libtpu reports them"
    return Needs(
        state=memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes,
        temporary=memory.temp_size_in_bytes,
        code=memory.generated_code_size_in_bytes,
        flops=cost["flops"],
        cycles=sum(cycles for _, cycles in cycles_by_instruction(program, chip)),
    )


def cycles_by_instruction(program: str, chip: Chip) -> Iterator[tuple[str, float]]:
    """The estimated cycles of every instruction of a compiled program, with its text."""
    return instruction_cycles(program, bytes_per_cycle=chip.bandwidth / chip.clock)


def describe(config: ConfigDict, topology: str, devices: Sequence[jax.Device], found: Needs) -> str:
    """The report, for human readers."""
    chip = chip_of(topology)
    hosts = len({device.process_index for device in devices})
    own = config.batch_size // len(devices)
    example = sum(
        each.dtype.itemsize * int(np.prod(each.shape))
        for each in example_shapes(config, rows=1).values()
    )
    seconds = found.cycles / chip.clock
    share = found.flops / seconds / chip.peak
    per_host = config.batch_size / hosts / seconds
    verdict = "fits" if found.memory <= chip.memory else "DOES NOT FIT"
    return "\n".join(
        (
            f"{topology}: {len(devices)} chips, {hosts} hosts; "
            f"batch of {config.batch_size}, {own} a chip",
            f"memory: {verdict}: {found.memory / GIB:.2f} of {chip.memory / GIB:.2f} GiB a chip "
            f"(state and batch {found.state / GIB:.2f}, temporary {found.temporary / GIB:.2f}, "
            f"program {found.code / GIB:.2f}); {found.room(own, chip)}",
            f"step: {seconds * 1e3:.1f} ms estimated ({found.cycles:,.0f} cycles at "
            f"{chip.clock / 1e9:.2f} GHz), {config.batch_size / seconds:,.0f} examples/s in all",
            f"work: {found.flops / own / 1e9:.2f} GFLOP an example, "
            f"{share:.1%} of the peak of {chip.peak / 1e12:.0f} TFLOP/s",
            f"input: each host must deliver {per_host:,.0f} examples/s, "
            f"{per_host * example / 1e6:,.1f} MB/s ({example:,} bytes an example)",
        )
    )


def check(config: ConfigDict, topology: str) -> str:
    """Compiles the step for a slice; returns the report.

    Raises:
      ModuleNotFoundError, ValueError: as `slice_devices`; or the configuration does not suit this
        number of devices, or the step does not fit.
    """
    devices = slice_devices(topology)
    config_module.check(config, devices=len(devices))
    return describe(config, topology, devices, _needs_of(lower_step(config, devices), topology))


def _needs_of(lowered: jax.stages.Lowered, topology: str) -> Needs:
    """What a step needs; found by an earlier check of the same step, or else by compiling it.

    JAX's own cache does not serve here: without a TPU it cannot load what it has kept.
    """
    kept = cache_directory() / "checked" / f"{_identity(lowered, topology)}.json"
    if kept.is_file():
        return Needs(**json.loads(kept.read_text(encoding="utf-8")))
    compilation.foresee(lowered, "the step", platform="tpu")
    began = time.monotonic()
    try:
        found = needs(lowered.compile(), chip_of(topology))
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise ValueError(f"the step does not fit {topology}: {first_line(error)}") from error
    print(f"compiled in {time.monotonic() - began:.0f} s", file=sys.stderr)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_text(kept, json.dumps(dataclasses.asdict(found)))
    return found


def _identity(lowered: jax.stages.Lowered, topology: str) -> str:
    """Everything that decides what the compiler finds."""
    parts = (
        lowered.as_text(),
        topology,
        importlib.metadata.version("libtpu"),
        os.environ.get(compilation.TPU_OPTIONS, ""),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> None:
    options, config = parse_with_config(_parser(), arguments)
    with command_line.problems_in_one_line():
        print(check(config, options.topology))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("launch.check", __doc__)
    parser.add_argument("--topology", required=True, help="the slice, such as v5e:4x4 or v6e:16x16")
    return parser


if __name__ == "__main__":
    main()
