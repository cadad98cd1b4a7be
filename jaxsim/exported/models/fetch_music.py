"""Fetches the recordings that `music.npz` was trained on, and writes their manifest.

python jaxsim/exported/models/fetch_music.py music

For Debian and its relatives: downloads the packages that music.csv lists with apt-get, unpacks them
with dpkg-deb (nothing is installed), keeps the listed files, and turns tracker modules into FLAC
with ffmpeg. Then `python -m input_pipeline.prepare --source=manifest --path=music/manifest.csv`
reads them. Some 4 GB are downloaded. If you interrupt it, run it again: it resumes.
"""

import argparse
import collections
import csv
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

LIST = Path(__file__).with_name("music.csv")  # package, file, title, artist, seconds, licence
MODULES = {".it", ".mod", ".s3m", ".stm", ".xm"}  # not every decoder plays them
SHARES = {"validation": 0.15, "test": 0.15}  # of the packages
COLUMNS = ("path", "track_id", "split", "group", "artist", "title", "source")

Row = dict[str, str]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with LIST.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    packages = collections.defaultdict(list)
    for row in rows:
        packages[row["package"]].append(row)
    for number, (package, tracks) in enumerate(packages.items(), 1):
        print(f"{number} of {len(packages)}: {package}, {len(tracks)} tracks", flush=True)
        fetch(package, tracks, options.folder, seconds=options.seconds)
    splits = divided(sorted(packages), seed=options.seed)
    write_manifest(options.folder / "manifest.csv", rows, splits)
    print(f"{options.folder / 'manifest.csv'}: {len(rows)} tracks")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where to put the music")
    parser.add_argument("--seconds", type=float, default=180.0, help="of a track, from its start")
    parser.add_argument("--seed", type=int, default=0, help="of the division by package")
    return parser


def target(row: Row, folder: Path) -> Path:
    """Where a track is kept."""
    return folder / row["package"] / Path(row["file"]).with_suffix(".flac").name


def fetch(package: str, tracks: Sequence[Row], folder: Path, *, seconds: float) -> None:
    """Downloads a package, unless all its tracks are there, and keeps those.

    Raises:
      SystemExit: apt-get, dpkg-deb or ffmpeg failed, or a listed file is not in the package.
    """
    if all(target(row, folder).is_file() for row in tracks):
        return
    (folder / package).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        archives = sorted((folder / "packages").glob(f"{package}_*.deb"))
        if not archives:
            _run(["apt-get", "download", package], cwd=scratch)
            archives = sorted(Path(scratch).glob("*.deb"))
        _run(["dpkg-deb", "--extract", str(archives[0]), scratch])
        for row in tracks:
            convert(Path(scratch, row["file"]), target(row, folder), seconds=seconds)


def convert(source: Path, path: Path, *, seconds: float) -> None:
    """Writes the beginning of a track as FLAC, whole or not at all."""
    if not source.is_file():
        sys.exit(f"{source.name}: not in its package, expected it there; is it another version?")
    unfinished = path.with_suffix(".unfinished.flac")
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), "-t", str(seconds), "-vn"]
    _run([*command, "-map_metadata", "-1", "-sample_fmt", "s16", str(unfinished)])
    os.replace(unfinished, path)


def _run(command: Sequence[str], **options) -> None:
    if shutil.which(command[0]) is None:
        sys.exit(f"{command[0]} is missing, expected on the PATH")
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **options
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stderr.strip()}")


def divided(packages: Sequence[str], *, seed: int) -> dict[str, str]:
    """The split of every package: tracks of one package share artist and production."""
    order = random.Random(seed).sample(packages, len(packages))
    splits = dict.fromkeys(order, "train")
    first = 0
    for split, share in SHARES.items():
        count = round(share * len(order))
        splits |= dict.fromkeys(order[first : first + count], split)
        first += count
    return splits


def write_manifest(path: Path, rows: Sequence[Row], splits: dict[str, str]) -> None:
    """Writes the manifest that `input_pipeline.prepare` and `jaxsim.embed` read."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for row in rows:
            place = target(row, path.parent).relative_to(path.parent)
            table.writerow(
                {
                    "path": place.as_posix(),
                    "track_id": place.with_suffix("").as_posix(),
                    "split": splits[row["package"]],
                    "group": row["package"],
                    "artist": row["artist"],
                    "title": row["title"],
                    "source": f"Debian package {row['package']}, {row['licence']}",
                }
            )


if __name__ == "__main__":
    main()
