"""Checkpoints that are damaged in every way: the newest intact one is used, with a warning."""

import json
import shutil
import subprocess
from pathlib import Path

import jax
import numpy as np
import pytest
from orbax.checkpoint._src.futures import signaling_client

from jaxsim.training.saving.checkpoints import Checkpoints, located, restore_for_inference
from jaxsim.training.schedule import Plateau
from tests.helpers import programs
from tests.helpers.states import state

STEPS = (2, 4)


def save(checkpoints: Checkpoints, step: int, **options) -> None:
    checkpoints.save(state(step), Plateau(cuts=step), {"config": {"seed": step}}, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("whole")
    checkpoints = Checkpoints(directory / "checkpoints")
    for step in STEPS:
        save(checkpoints, step)
    checkpoints.close()
    return directory


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy of a run's directory, to be damaged."""
    return shutil.copytree(whole, tmp_path / "run")


def restore(run: Path, **changes):
    checkpoints = Checkpoints(run / "checkpoints")
    try:
        return checkpoints.restore(state(0, **changes), accept=lambda record: None)
    finally:
        checkpoints.close()


def assert_is(restored, step: int) -> None:
    found, plateau, record = restored
    jax.tree.map(np.testing.assert_array_equal, found, state(step))
    assert (plateau, record["config"]) == (Plateau(cuts=step), {"seed": step})


def largest(directory: Path) -> Path:
    return max(
        (path for path in directory.rglob("*") if path.is_file()),
        key=lambda path: path.stat().st_size,
    )


def truncate(directory: Path) -> None:
    file = largest(directory)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_a_bit(directory: Path) -> None:
    file = largest(directory)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def empty(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()


DAMAGES = {
    "an array's file is truncated": truncate,
    "an array's file has a flipped bit": flip_a_bit,
    "an array's file is absent": lambda directory: largest(directory).unlink(),
    "the directory is empty": empty,
    "the state is absent": lambda directory: shutil.rmtree(directory / "state"),
    "the record is absent": lambda directory: shutil.rmtree(directory / "record"),
    "the record is empty": lambda directory: (directory / "record/metadata").write_text(""),
    "the index is empty": lambda directory: (directory / "state/manifest.ocdbt").write_text(""),
    "the metadata is cut": lambda directory: (directory / "state/_METADATA").write_text('{"tree_'),
}


def test_the_newest_is_restored(run):
    assert_is(restore(run), 4)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_used(run, capsys, damage):
    DAMAGES[damage](run / "checkpoints" / "4")
    config, params, _, record = restore_for_inference(run)
    jax.tree.map(np.testing.assert_array_equal, params, state(2).params)
    assert (config.seed, record["step"]) == (2, 2)
    assert "using step 2, the newest intact one" in capsys.readouterr().err

    checkpoints = Checkpoints(run / "checkpoints")
    assert_is(checkpoints.restore(state(0), accept=lambda record: None), 2)
    warning = capsys.readouterr().err
    assert warning.startswith("WARNING: damaged checkpoints (step 4: ")
    assert "checkpoints-damaged; resuming from step 2, the newest intact one" in warning
    assert [path.name.partition("-")[0] for path in (run / "checkpoints-damaged").iterdir()] == [
        "4"
    ]
    save(checkpoints, 4)
    checkpoints.close()
    assert_is(restore(run), 4)


def test_only_damaged_checkpoints(run):
    for step in STEPS:
        empty(run / "checkpoints" / str(step))
    with pytest.raises(ValueError, match=r"no checkpoint can be read: step 4: .*; step 2: "):
        restore(run)
    with pytest.raises(ValueError, match=r"no checkpoint can be read: step 4: .*; step 2: "):
        restore_for_inference(run)
    assert not (run / "checkpoints-damaged").exists()


def test_a_checkpoint_of_another_network_is_refused_with_the_difference(run):
    message = (
        r"checkpoints/4: belongs to a different network: moments/mu/stem/kernel is "
        r"float32\[50, 30\], expected float32\[50, 32\]"
    )
    with pytest.raises(ValueError, match=message):
        restore(run, channels=32)
    assert_is(restore(run), 4)


def test_a_record_that_is_not_accepted_stops_all(run):
    def accept(record):
        raise ValueError(f"not with seed {record['config']['seed']}")

    checkpoints = Checkpoints(run / "checkpoints")
    with pytest.raises(ValueError, match="not with seed 4"):
        checkpoints.restore(state(0), accept=accept)
    checkpoints.close()


def test_no_checkpoint(tmp_path):
    assert restore(tmp_path) is None
    with pytest.raises(FileNotFoundError, match="has no checkpoint; train first"):
        restore_for_inference(tmp_path)


def test_older_checkpoints_have_no_digest(run):
    file = run / "checkpoints/4/record/metadata"
    record = json.loads(file.read_text())
    del record["digest"]
    file.write_text(json.dumps(record))
    assert_is(restore(run), 4)


@pytest.mark.slow
def test_a_model_is_read_where_there_are_fewer_devices(whole):
    found = subprocess.run(
        programs.command("restore_on_one_device", whole),
        env=programs.environment(),
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    expected = np.asarray(state(4).params["head"]["bias"]).tolist()
    assert json.loads(found.stdout) == expected


def test_saving_waits_for_no_signal_between_threads(tmp_path: Path, monkeypatch) -> None:
    """Orbax's signal that the directories are there was lost once, and the run with it."""
    lost: list[str] = []
    client = signaling_client.ThreadSafeKeyValueSignalingClient
    keep = client.key_value_set

    def lose(self, key: str, value: str, **options) -> None:
        if key.endswith("_creation"):
            lost.append(key)
        else:
            keep(self, key, value, **options)

    monkeypatch.setattr(client, "key_value_set", lose)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    save(checkpoints, 1)
    assert not lost
    checkpoints.close()
    assert restore_for_inference(tmp_path)[-1]["step"] == 1


def test_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert checkpoints.best_step() is None
    for step, score in enumerate((0.5, 0.9, 0.8, None, 0.7, None), start=1):
        save(checkpoints, step, score=score)
    checkpoints.close()
    found = Checkpoints(tmp_path / "checkpoints")
    assert found.best_step() == 2
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [2, 5, 6]
    found.close()
    assert restore_for_inference(tmp_path)[-1]["step"] == 6
    assert restore_for_inference(tmp_path / "checkpoints")[-1]["step"] == 6
    config, params, _, record = restore_for_inference(tmp_path / "checkpoints" / "2")
    assert (config.seed, record["step"]) == (2, 2)
    np.testing.assert_array_equal(params["head"]["bias"], state(2).params["head"]["bias"])
    with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 4, only 2, 5, 6"):
        restore_for_inference(tmp_path / "checkpoints" / "4")


def test_a_checkpoint_that_was_not_validated_is_nothing_to_warn_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    save(checkpoints, 2, score=0.5)
    checkpoints.close()
    assert caplog.messages == []


def test_a_run_is_found_from_its_checkpoints(whole: Path) -> None:
    """So that nobody writes beside a checkpoint's own files."""
    folder = whole / "checkpoints"
    assert located(whole) == located(folder) == (whole, None)
    assert located(folder / "2") == (whole, 2)
    assert located(folder / "2 copy")[1] is None
