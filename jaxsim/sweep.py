r"""Trains several configurations one after another on one data set, and compares them.

python -m jaxsim.sweep --workdir=runs/table \
    --configs=configs/ribecky2021/six_single_384.py:demo,configs/ribecky2021/six_multi_384.py:demo

Everything after `--` is passed to every training: `-- --config.num_steps=1000`. Each run is written
to WORKDIR/NAME, named after its configuration, and the report to WORKDIR/report. Running the same
command again resumes an interrupted sweep where it stopped; finished runs are not trained again.
"""

import argparse
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from input_pipeline import command_line, extras
from jaxsim.command_line import add_evaluation_options

TRAIN = "jaxsim.train"


def run_directories(configs: Sequence[str], workdir: Path) -> dict[str, Path]:
    """The run directory of each configuration, by `--config`'s value.

    Raises:
      ValueError: two configurations have the same name.
    """
    names = {config: Path(config.partition(":")[0]).stem for config in configs}
    for name, count in Counter(names.values()).items():
        if count > 1 or len(names) < len(configs):
            raise ValueError(f"--configs has {name!r} more than once; give each its own sweep")
    return {config: workdir / name for config, name in names.items()}


def train_all(directories: dict[str, Path], options: Sequence[str]) -> None:
    """Trains every configuration in a process of its own; stops at the first that fails."""
    for number, (config, directory) in enumerate(directories.items(), start=1):
        print(f"{number} of {len(directories)}: {config}", file=sys.stderr)
        command = [sys.executable, "-m", TRAIN, f"--config={config}"]
        process = subprocess.Popen([*command, f"--workdir={directory}", *options])
        while True:
            try:
                code = process.wait()
                break
            except KeyboardInterrupt:
                continue  # the training has been interrupted too: it saves and says so
        if code:
            print(f"{config}: stopped with exit code {code}", file=sys.stderr)
            sys.exit(code)


def sweep(
    configs: Sequence[str],
    workdir: Path,
    options: Sequence[str],
    *,
    split: str,
    triplet_files: Sequence[str],
    embedding_files: Sequence[str],
    estimate_files: Sequence[str],
) -> None:
    """Trains all configurations with these options and evaluates the runs in one report.

    Raises:
      ValueError: as `run_directories`.
      SystemExit: a training or the evaluation ended with this exit code.
    """
    directories = run_directories(configs, workdir)
    train_all(directories, options)
    # In a process that has trained nothing, so that all devices are free.
    command = [
        *(sys.executable, "-m", "jaxsim.evaluate"),
        f"--checkpoint={','.join(map(str, directories.values()))}",
        f"--out={workdir / 'report'}",
        f"--split={split}",
        f"--triplets={','.join(triplet_files)}",
        f"--embeddings={','.join(embedding_files)}",
        f"--estimates={','.join(estimate_files)}",
    ]
    sys.exit(subprocess.run(command).returncode)


def main(arguments: Sequence[str] | None = None) -> None:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = _parser().parse_args(arguments[:end])
    with command_line.problems_in_one_line():
        extras.need("train")
        sweep(
            options.configs,
            Path(options.workdir),
            arguments[end + 1 :],
            split=options.split,
            triplet_files=options.triplets,
            embedding_files=options.embeddings,
            estimate_files=options.estimates,
        )


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("jaxsim.sweep", __doc__)
    add = parser.add_argument
    add(
        "--configs",
        required=True,
        type=command_line.comma_separated,
        metavar="FILE,...",
        help="the configurations, each FILE or FILE:VARIANT",
    )
    add("--workdir", required=True, metavar="FOLDER", help="where to write all runs and the report")
    add_evaluation_options(parser)
    return parser


if __name__ == "__main__":
    main()
