"""The script that plays recordings at other speeds: what it writes, and what it says of it."""

import csv
import runpy
from pathlib import Path

import numpy as np
import pytest
import soundfile

from input_pipeline import manifest
from input_pipeline.datasets import dataset
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import parse_key
from jaxsim.exported import models

SCRIPT = runpy.run_path(str(Path(models.__path__[0]) / "change_music.py"))


@pytest.fixture(scope="module")
def folder(tracks_csv, prepared_directory, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("changed")
    SCRIPT["main"]([*map(str, (tracks_csv, prepared_directory, folder)), "--workers=1"])
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pitch(samples: np.ndarray) -> float:
    """Hz of the strongest partial."""
    return float(np.argmax(np.abs(np.fft.rfft(samples)))) * 22050 / len(samples)


def test_tracks_have_a_faster_and_a_slower_version(folder, tracks_csv, prepared_directory) -> None:
    data = dataset.open(prepared_directory, "train", FeatureConfig())
    originals = {t.track_id: t for t in manifest.read(tracks_csv).tracks}
    found = rows(folder)
    assert [row["track_id"][:-2] for row in found] == [
        name for name in originals if name in data.track_ids for _ in range(2)
    ]
    for row, is_faster in zip(found, [True, False] * len(data), strict=True):
        name, semitones = row["track_id"][:-2], int(row["track_id"][-2:])
        assert abs(semitones) in (2, 3, 4, 5) and (semitones > 0) == is_faster
        original, rate = soundfile.read(originals[name].audio)
        changed, own_rate = soundfile.read(folder / row["path"])
        assert rate == own_rate == 22050
        factor = 2 ** (semitones / 12)
        assert len(original) / len(changed) == pytest.approx(factor, rel=1e-4)
        assert pitch(changed) / pitch(original) == pytest.approx(factor, rel=0.005)
        assert float(row["tempo"]) == pytest.approx(originals[name].tempo * factor, abs=0.006)
        if originals[name].key is None:
            assert row["key"] == ""
        else:
            before, after = parse_key(originals[name].key), parse_key(row["key"])
            assert (after - before - semitones) % 12 == 0 and after // 12 == before // 12
        assert (row["split"], row["group"]) == ("train", originals[name].group)
    assert len({row["track_id"][-2:] for row in found}) > 3
    assert {bool(row["key"]) for row in found} == {True, False}


def test_its_manifest_is_one_that_prepare_reads(folder) -> None:
    found = manifest.read(folder / "manifest.csv")
    assert not found.problems and len(found.tracks) == len(rows(folder))


def test_what_is_there_is_kept(folder, tracks_csv, prepared_directory) -> None:
    first, second = (folder / row["path"] for row in rows(folder)[:2])
    before = second.read_bytes()
    second.unlink()
    time = first.stat().st_mtime_ns
    SCRIPT["main"]([*map(str, (tracks_csv, prepared_directory, folder)), "--workers=1"])
    assert first.stat().st_mtime_ns == time and second.read_bytes() == before
    assert not list(folder.rglob("*unfinished*"))


def test_unsure_keys_are_left_out() -> None:
    confidence = np.array([0.9, 0.5, 1.0, 0.7, 0.1, 0.8, 0.6])
    estimated = np.array([True, True, False, True, True, True, True])
    sure = SCRIPT["surely"](confidence, estimated)
    assert sure.tolist() == [True, False, True, True, False, True, True]
    assert SCRIPT["surely"](confidence, np.zeros(7, bool)).all()
