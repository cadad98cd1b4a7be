"""What a command tells the compilers before JAX starts them, and its user before they start."""

import os
import sys
from collections.abc import Callable
from typing import Any

import jax

from input_pipeline.cache import cache_directory

TPU_OPTIONS = "LIBTPU_INIT_ARGS"
SCRATCH = "--xla_tpu_scoped_vmem_limit_kib"
SCRATCH_KIB = 64 * 2**10
# Seconds of a processor that compilers take for an instruction (benchmarks/RESULTS.md).
SECONDS_PER_INSTRUCTION = {"cpu": 0.003, "tpu": 0.04}
WORTH_SAYING = 10.0  # seconds


def prepare() -> None:
    """Caches compiled programs, so that a second start compiles nothing; widens TPUs' scratch."""
    jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "compiled"))
    widen_scratch()


def foresee(
    lowered: jax.stages.Lowered,
    what: str,
    *,
    platform: str | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Says about how long a compilation will take, before it starts, if it is long.

    Args:
      lowered: the program.
      what: its name in the sentence.
      platform: for which it is compiled; default: JAX's own.
      say: shows the sentence; default: prints it to stderr.
    """
    each = SECONDS_PER_INSTRUCTION.get(platform or jax.default_backend())
    if each is None:
        return
    instructions = lowered.as_text().count(" = ")
    seconds = instructions * each
    if seconds > WORTH_SAYING:
        duration = f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
        sentence = (
            f"compiling {what} takes about {duration} of processor time ({instructions:,} "
            "instructions) unless this machine has compiled it before"
        )
        if say is None:
            print(sentence, file=sys.stderr)
        else:
            say(sentence)


def announced(compiled: Any, what: str) -> Callable:
    """A function that JAX compiles, whose first call says how long that takes; see `foresee`."""
    said = False

    def call(*arguments: Any) -> Any:
        nonlocal said
        if not said:
            foresee(compiled.lower(*arguments), what)
            said = True
        return compiled(*arguments)

    return call


def widen_scratch() -> None:
    """Lets one operation use half of a TPU's 128 MiB of on-chip memory; the default is an eighth.

    Convolutions that read and write more at a time wait less for main memory
    (benchmarks/RESULTS.md). Chips with less on-chip memory (before v5e) are not affected, and
    whatever the user has set in LIBTPU_INIT_ARGS is kept. libtpu reads that variable when JAX first
    asks for devices.
    """
    given = os.environ.get(TPU_OPTIONS, "")
    if SCRATCH not in given:
        os.environ[TPU_OPTIONS] = f"{given} {SCRATCH}={SCRATCH_KIB}".lstrip()
