"""The script that fetches recordings: what it lists, how it divides, what it writes."""

import csv
import runpy
from pathlib import Path

from input_pipeline import manifest
from jaxsim.exported import models

SCRIPT = runpy.run_path(str(Path(models.__path__[0]) / "fetch_music.py"))


def rows() -> list[dict[str, str]]:
    with SCRIPT["LIST"].open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_track_has_a_place_of_its_own_and_a_licence() -> None:
    listed = rows()
    assert len(listed) == 550
    assert len({SCRIPT["target"](row, Path()) for row in listed}) == len(listed)
    assert all(row["licence"] for row in listed)


def test_a_package_is_in_one_split() -> None:
    packages = sorted({row["package"] for row in rows()})
    splits = SCRIPT["divided"](packages, seed=0)
    counts = {split: [*splits.values()].count(split) for split in set(splits.values())}
    assert counts == {"train": 73, "validation": 16, "test": 16}
    assert SCRIPT["divided"](packages, seed=0) == splits != SCRIPT["divided"](packages, seed=1)


def test_the_manifest_is_one_that_prepare_reads(tmp_path: Path) -> None:
    listed = rows()[:20]
    for row in listed:
        path = SCRIPT["target"](row, tmp_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    splits = {row["package"]: "train" for row in listed}
    SCRIPT["write_manifest"](tmp_path / "manifest.csv", listed, splits)
    found = manifest.read(tmp_path / "manifest.csv")
    assert not found.problems
    assert [track.title for track in found.tracks] == [row["title"] for row in listed]
    assert {track.group for track in found.tracks} == splits.keys()
    assert listed[0]["licence"] in found.tracks[0].source
