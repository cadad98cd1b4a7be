"""What a command tells the compilers comes in time, and takes nothing back."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from jaxsim.network import compilation

OPTION = "--xla_tpu_scoped_vmem_limit_kib"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, f"{OPTION}=65536"),
        ("--xla_jf_other=1", f"--xla_jf_other=1 {OPTION}=65536"),
        (f"{OPTION}=16384 --xla_jf_other=1", f"{OPTION}=16384 --xla_jf_other=1"),
    ],
)
def test_scratch_is_widened_unless_the_user_has_set_it(given, expected, monkeypatch) -> None:
    monkeypatch.delenv("LIBTPU_INIT_ARGS", raising=False)
    if given is not None:
        monkeypatch.setenv("LIBTPU_INIT_ARGS", given)
    for _ in range(2):  # the second time changes nothing
        compilation.widen_scratch()
        assert os.environ["LIBTPU_INIT_ARGS"] == expected


def test_no_command_asks_for_devices_when_it_is_imported() -> None:
    """What it tells the compilers would come too late."""
    commands = (
        "train",
        "evaluate",
        "export",
        "embed",
        "search",
        "serve",
        "judge",
        "sweep",
        "report",
    )
    modules = [f"jaxsim.{name}" for name in (*commands, "command_line", "library.intake.embedding")]
    subprocess.run(
        [sys.executable, "-c", "\n".join(f"import {name}" for name in modules)],
        env={**os.environ, "JAX_PLATFORMS": "nowhere"},  # JAX finds no devices there
        check=True,
    )


def test_a_long_compilation_is_announced_once(monkeypatch, capsys):
    function = compilation.announced(jax.jit(lambda x: jnp.sin(x) + 1), "the sum")
    assert function(jnp.zeros(())) == 1
    assert not capsys.readouterr().err, "a short one is not worth a word"
    monkeypatch.setitem(compilation.SECONDS_PER_INSTRUCTION, "cpu", 20.0)
    function = compilation.announced(jax.jit(lambda x: jnp.cos(x) + 1), "the sum")
    assert [function(jnp.zeros(())), function(jnp.zeros(()))] == [2, 2]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("compiling the sum takes about ")
    assert said[0].endswith("unless this machine has compiled it before")


def test_platforms_that_were_not_measured_are_not_guessed_at(capsys):
    lowered = jax.jit(jnp.sin).lower(jnp.zeros(()))
    compilation.foresee(lowered, "it", platform="gpu")
    assert not capsys.readouterr().err
