"""Trains a model: python -m jaxsim.train --config=configs/six_dim.py:demo --workdir=runs/demo

Running the same command again resumes exactly where it stopped. With --distributed, several
processes train one model; launch/README.md says how they find each other, and what the exit codes
mean.
"""

import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from input_pipeline import command_line
from jaxsim.command_line import config_name, parse_with_config

if TYPE_CHECKING:
    from ml_collections import ConfigDict


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line.parser("jaxsim.train", __doc__)
    add = parser.add_argument
    add(
        "--workdir",
        type=Path,
        help="where the run writes everything; default: runs/NAME, after the configuration",
    )
    add("--profile", default="", metavar="A:B", help="steps to record, such as 100:110")
    add("--distributed", action="store_true", help="this process is one of several")
    options, config = parse_with_config(parser, arguments)
    workdir = options.workdir or Path("runs", config_name(options.config))
    if options.distributed and not options.workdir:
        parser.error("--distributed needs a --workdir that all processes share")
    if not options.workdir:
        print(f"{workdir}: the run; --workdir chooses another folder", file=sys.stderr)
    from absl import logging

    from jaxsim.network import compilation
    from jaxsim.training import run
    from jaxsim.training.machines import processes, stopping

    compilation.prepare()
    logging.set_verbosity(logging.WARNING)  # JAX and orbax log through absl
    if options.distributed:
        try:
            processes.join()
        except ValueError as error:
            sys.exit(f"error: {error}")
    stopping.leave(run.guarded(functools.partial(train, config, workdir, profile=options.profile)))


def train(config: "ConfigDict", workdir: Path, *, profile: str) -> int:
    """Checks the configuration, opens its data and trains; returns the exit code."""
    import jax

    from jaxsim.evaluation.validation import Validation
    from jaxsim.training import profiling, run
    from jaxsim.training.config import check
    from jaxsim.training.data import open_splits, standardised
    from jaxsim.training.machines import processes
    from jaxsim.training.saving.starting import adopted

    config = adopted(config)
    check(config, devices=jax.device_count())
    profiled = profiling.parse(profile, num_steps=config.num_steps) if profile else range(0)
    with processes.first_goes_first("data"):
        data = open_splits(config, ("train", "validation"))
    config = standardised(config, data["train"])
    validation = Validation(config, data["validation"])
    return run.train(config, workdir, data["train"], validation, profiled=profiled)


if __name__ == "__main__":
    main()
