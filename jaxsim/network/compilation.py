"""What a command tells the compilers before JAX starts them."""

import os

import jax

from input_pipeline.cache import cache_directory

TPU_OPTIONS = "LIBTPU_INIT_ARGS"
SCRATCH = "--xla_tpu_scoped_vmem_limit_kib"
SCRATCH_KIB = 64 * 2**10


def prepare() -> None:
    """Caches compiled programs, so that a second start compiles nothing; widens TPUs' scratch."""
    jax.config.update("jax_compilation_cache_dir", str(cache_directory() / "compiled"))
    widen_scratch()


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
