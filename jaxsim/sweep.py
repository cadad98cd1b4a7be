r"""Trains several configurations one after the other on one data set, and compares them.

python -m jaxsim.sweep --workdir=runs/table \
    --configs=configs/ribecky2021/six_single_384.py:demo,configs/ribecky2021/six_multi_384.py:demo

What stands after `--` goes to every training: `-- --config.num_steps=1000`. Each run lies in
WORKDIR/NAME of its configuration, the report in WORKDIR/report. After an interruption the same
command goes on where it stopped; runs that are done are not trained again.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags

TRAIN = "jaxsim.train"


def run_directories(configs: Sequence[str], workdir: Path) -> dict[str, Path]:
    """The run directory of each configuration, by `--config`'s value.

    Raises:
      ValueError: two configurations have one name.
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


if __name__ == "__main__":
    _CONFIGS = flags.DEFINE_list("configs", None, "Configuration files, each with :variant.")
    _WORKDIR = flags.DEFINE_string("workdir", None, "Where all runs and the report are written.")
    _TRIPLETS = flags.DEFINE_list("triplets", [], "Files of judged triplets (jaxsim.triplets).")
    _EMBEDDINGS = flags.DEFINE_list("embeddings", [], "Files of track id to vector (.npz).")
    _SPLIT = flags.DEFINE_string("split", "test", "The split to evaluate on.")
    flags.mark_flags_as_required(["configs", "workdir"])

    def _main(arguments: list[str]) -> None:
        workdir = Path(str(_WORKDIR.value))
        try:
            directories = run_directories(_CONFIGS.value or [], workdir)
        except ValueError as error:
            sys.exit(f"error: {error}")
        train_all(directories, arguments[1:])
        # In a process that has trained nothing, so that all devices are free.
        command = [
            *(sys.executable, "-m", "jaxsim.evaluate"),
            f"--checkpoint={','.join(map(str, directories.values()))}",
            f"--out={workdir / 'report'}",
            f"--split={_SPLIT.value}",
            f"--triplets={','.join(_TRIPLETS.value)}",
            f"--embeddings={','.join(_EMBEDDINGS.value)}",
        ]
        sys.exit(subprocess.run(command).returncode)

    app.run(_main)
