"""The run: resuming, refusing, and what it leaves behind. One tiny configuration, compiled once."""

import functools
import itertools
import json
import math
import operator
import os
import re
import shutil
import signal
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from benchmarks import faults
from configs.six_dim import VARIANTS, get_config
from input_pipeline.datasets.dataset import DataSet
from jaxsim.exported import numpy_model
from jaxsim.network.inputs import FEATURES
from jaxsim.network.plan import INPUTS
from jaxsim.objective.terms import label_names
from jaxsim.training import config as config_module
from jaxsim.training import non_finite, run
from jaxsim.training.feed import Feed
from jaxsim.training.machines import stopping
from jaxsim.training.monitor import Monitor
from jaxsim.training.saving import record
from jaxsim.training.saving.checkpoints import restore_for_inference
from jaxsim.training.saving.workdir import Claim
from jaxsim.training.schedule import Plateau, exhausted, learning_rate
from tests.helpers.runs import small, tiny, trained, training_tracks


def test_leaves_what_it_says(finished):
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert [row["step"] for row in rows if "validation_own" in row] == [2, 4]
    for row in rows:
        if "loss" in row:
            assert row["process_peak_mib"] > 100 and row["device_teraflops_per_second"] > 0
    assert list((finished / "profile").rglob("*.xplane.pb"))
    table = json.loads((finished / "validation.json").read_text())
    assert set(table["scores"]) == {"genre", "mood"}
    assert list((finished / "tensorboard").iterdir())


def test_the_step_is_compiled_once(watched_run):
    """Which `jax.pmap` calls _fun; so are the embeddings for validation."""
    _, said = watched_run
    compiled = [text for text in said if text.startswith("Finished XLA compilation of jit(_fun)")]
    assert len(compiled) == 2, compiled


def test_no_batch_goes_to_a_device_unasked(prepared_directory, tmp_path, monkeypatch, capsys):
    """On an accelerator the step would wait for it."""

    def unplaced(feed, batch):
        split = jax.local_device_count()
        names = (*FEATURES, *label_names(feed.config))
        return {name: batch[name].reshape(split, -1, *batch[name].shape[1:]) for name in names}

    monkeypatch.setattr(Feed, "place", unplaced)
    assert trained(tiny(prepared_directory), tmp_path) == stopping.CRASHED
    assert "Disallowed host-to-device transfer" in capsys.readouterr().err


def test_a_run_that_is_done_is_left_as_it_is(finished, prepared_directory):
    def contents():
        return {path.name: path.read_bytes() for path in finished.glob("*.*")}

    before = contents()
    assert before.keys() == {"log.jsonl", "model.npz", "validation.json"}
    results = finished / "model.npz", finished / "validation.json"
    times = [path.stat().st_mtime_ns for path in results]
    assert trained(tiny(prepared_directory), finished) == stopping.FINISHED
    assert contents() == before
    assert [path.stat().st_mtime_ns for path in results] == times, "not written once more"


def test_exports_the_model_that_it_trained(finished):
    model = numpy_model.load(finished / "model.npz")
    _, params, _, _ = restore_for_inference(finished)
    np.testing.assert_array_equal(model.arrays["mel_stem/kernel"], params["mel_stem"]["kernel"])


def test_resumed_run_equals_uninterrupted_run(finished, prepared_directory, tmp_path):
    assert trained(tiny(prepared_directory, num_steps=1), tmp_path) == stopping.FINISHED
    assert trained(tiny(prepared_directory), tmp_path) == stopping.FINISHED
    _assert_same_state(finished, tmp_path)


def test_a_signal_saves_and_the_next_start_goes_on(
    finished, prepared_directory, tmp_path, monkeypatch, capsys
):
    step = Monitor.step

    def step_and_signal(monitor):
        step(monitor)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Monitor, "step", step_and_signal)
        code = trained(tiny(prepared_directory), tmp_path)
    assert code == 75
    assert (
        "stopped and saved at step 1; running the same command again resumes there"
        in capsys.readouterr().err
    )
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["1"]
    assert trained(tiny(prepared_directory), tmp_path) == 0
    _assert_same_state(finished, tmp_path)


@pytest.mark.slow
def test_readmes_network_resumes_as_if_it_had_not_stopped(prepared_directory, tmp_path):
    """With class vectors; the other tests resume triplets."""

    def config(**changes):
        small_one = small(prepared_directory, **changes)
        small_one.loss.method = "proxy"
        return small_one

    assert trained(config(), tmp_path / "at once") == stopping.FINISHED
    for steps in (3, 4):
        assert trained(config(num_steps=steps), tmp_path / "resumed") == stopping.FINISHED
    _assert_same_state(tmp_path / "at once", tmp_path / "resumed")
    _, _, statistics, _ = restore_for_inference(tmp_path / "resumed")
    assert set(statistics) == {*(f"{kind}_centre" for kind in INPUTS), "embedding_centre"}


@pytest.fixture
def older(config):
    """What a run saved before these fields existed."""
    saved = json.loads(config.to_json())
    del saved["model"]["blocks"], saved["model"]["branch_blocks"]
    del saved["relation"]["tempo"], saved["parallel"]["dimensions_at_once"]
    del saved["data"]["draw"], saved["data"]["unsure"]
    return saved


def test_runs_from_before_a_field_existed_resume(older, config, tmp_path):
    record.check_same_config(older, config, tmp_path)
    config.model.blocks = 5
    with pytest.raises(ValueError, match=r"config\.model\.blocks = 6, now it is 5"):
        record.check_same_config(older, config, tmp_path)


def test_runs_from_before_a_field_existed_are_evaluated_as_they_were_trained(older, config):
    """What they lack is as in the papers' network; what they have stays as it is."""
    older["model"]["branch_blocks"] = 3
    completed = record.completed(older)
    assert completed.model.branch_blocks == 3
    assert completed.model.blocks == 6
    config.model.branch_blocks = 3
    assert json.loads(completed.to_json()) == json.loads(config.to_json())


def fields(tree: dict, prefix: str = "") -> dict[str, object]:
    """Values by the names of the fields."""
    found: dict[str, object] = {}
    for name, value in tree.items():
        nested = isinstance(value, dict)
        found |= fields(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return found


def test_only_what_does_not_change_the_numbers_may_change_on_resuming(config, tmp_path):
    saved = json.loads(config.to_json())
    stopped_by = set()
    for name, value in fields(saved).items():
        changed = json.loads(json.dumps(saved))
        *path, last = name.split(".")
        functools.reduce(operator.getitem, path, changed)[last] = [value]
        try:
            record.check_same_config(changed, config, tmp_path)
        except ValueError as error:
            assert f"config.{name} = {[value]}, now it is {value}" in str(error)
            stopped_by.add(name)
    assert fields(saved).keys() - stopped_by == {
        "checkpoint_minutes",
        "data.dir",
        "data.read_ahead",
        "log_steps",
        "num_steps",
        "parallel.dimensions_at_once",
        "parallel.mapping",
    }
    del saved["loss"]["margin"]
    with pytest.raises(ValueError, match=r"margin = None, now it is 0\.1"):
        record.check_same_config(saved, config, tmp_path)


def test_a_best_loss_by_another_rule_is_forgotten(older, config, tmp_path):
    plateau = Plateau(cuts=2, best=0.004, waited=3)
    assert record.comparable(plateau, older) == plateau
    older["evaluation"]["loss_batches"] = 4  # of mined triplets
    record.check_same_config(older, config, tmp_path)
    assert record.comparable(plateau, older) == Plateau(cuts=2, best=math.inf, waited=3)


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_its_steps_and_nothing_else(
    finished, prepared_directory, tmp_path, capsys
):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "model.npz").unlink()
    (run / "checkpoints" / "4" / "state" / "manifest.ocdbt").write_bytes(b"")
    assert trained(tiny(prepared_directory), run) == 0
    assert "resuming from step 2, the newest intact one" in capsys.readouterr().err
    _assert_same_state(finished, run)


def test_a_feature_that_is_not_finite_is_traced_to_its_track(
    prepared_directory, tmp_path, monkeypatch, capsys
):
    config = tiny(prepared_directory)
    data = training_tracks(config)
    bad = 2
    read = DataSet.read_crops

    def read_with_nan(self, tracks, starts, frames):
        mel, cens, onset = read(self, tracks, starts, frames)
        mel[np.equal(tracks, bad)] = np.nan
        return mel, cens, onset

    monkeypatch.setattr(DataSet, "read_crops", read_with_nan)
    assert trained(config, tmp_path) == stopping.FAILED
    report = json.loads((tmp_path / "non_finite.json").read_text())
    name = data.track_ids[bad]
    assert report["tracks_with_features_that_are_not_finite"] == {name: ["mel"]}
    assert name in report["tracks_of_the_batch"]
    # Without triplets the loss is 0: the spread shows it.
    assert report["not_finite"] == {"spread": ["genre", "mood"]}
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: step {report['step']}: not finite: spread of genre, mood; "
        f"tracks with features that are not finite: {name} "
        f"(details in {tmp_path / 'non_finite.json'}); there is no checkpoint yet"
    )
    assert not list((tmp_path / "checkpoints").iterdir())


def test_parameters_that_are_not_finite_are_not_saved(
    prepared_directory, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(non_finite, "all_finite", lambda tree: False)
    assert trained(tiny(prepared_directory), tmp_path) == stopping.FAILED
    error = "error: step 2: the parameters are not finite; there is no checkpoint yet"
    assert capsys.readouterr().err.splitlines()[-1] == error


def test_steps_that_the_run_does_not_have_cannot_be_profiled(prepared_directory, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert trained(tiny(prepared_directory), workdir, profile="3:5") == stopping.FAILED
    assert capsys.readouterr().err == (
        "error: --profile is '3:5', expected steps first:last, such as 100:110, "
        "with first < last <= 4 (config.num_steps)\n"
    )
    assert not workdir.exists()


def test_two_runs_in_one_directory(prepared_directory, tmp_path, capsys):
    claim = Claim(tmp_path)
    assert trained(tiny(prepared_directory), tmp_path) == stopping.FAILED
    assert f"error: {tmp_path}: another run writes there" in capsys.readouterr().err
    claim.release()


def test_the_unforeseen_has_a_traceback_and_a_code_of_its_own(
    prepared_directory, tmp_path, monkeypatch, capsys
):
    def broken(*arguments, **options):
        raise RuntimeError("an accelerator fell over")

    monkeypatch.setattr(run, "train", broken)
    assert trained(tiny(prepared_directory), tmp_path) == stopping.CRASHED == 70
    assert "Traceback" in (found := capsys.readouterr().err)
    assert "an accelerator fell over" in found


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (faults.truncate, "damaged at record"),
        (faults.flip_a_bit, "damaged at record"),
        (Path.unlink, "missing; prepare the data set again"),
    ],
)
def test_a_damaged_shard_stops_the_run_before_it_begins(
    prepared_directory, tmp_path, capsys, damage, message
):
    data = shutil.copytree(prepared_directory, tmp_path / "data")
    (shard,) = data.glob("*-train.tfrecord-*")
    damage(shard)
    assert trained(tiny(data), tmp_path / "run") == stopping.FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {shard}: {message}")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_clock_that_goes_backwards_changes_nothing(
    finished, prepared_directory, tmp_path, monkeypatch
):
    clock, hours = time.time, itertools.count(1)
    monkeypatch.setattr(time, "time", lambda: clock() - 3600 * next(hours))
    assert trained(tiny(prepared_directory, num_steps=2), tmp_path) == stopping.FINISHED
    assert trained(tiny(prepared_directory), tmp_path) == stopping.FINISHED
    _assert_same_state(finished, tmp_path)


def _assert_same_state(one, other):
    _, *expected, _ = restore_for_inference(one)
    _, *found, _ = restore_for_inference(other)
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_the_commit_is_told_where_there_is_no_checkout(config, prepared_directory, monkeypatch):
    data = training_tracks(tiny(prepared_directory))
    monkeypatch.setenv("JAXSIM_COMMIT", "0123456789ab")
    assert record.record(config, data)["commit"] == "0123456789ab"


def test_refuses_to_resume_with_another_configuration(finished, prepared_directory, capsys):
    config = tiny(prepared_directory)
    config.loss.margin = 0.2
    assert trained(config, finished) == stopping.FAILED
    assert "config.loss.margin = 0.1, now it is 0.2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("batch_size", 12, r"config\.batch_size is 12, expected a multiple of 8"),
        ("dimensions", ("genre", "colour"), r"config\.dimensions is \('genre', 'colour'\)"),
        ("num_steps", 0, r"config\.num_steps is 0, expected more than 0"),
        ("loss.pick", "hardest", r"config\.loss\.pick is 'hardest', expected one of nearest"),
        ("loss.weights.key", 0.0, r"config\.loss\.weights\.key is 0\.0, expected more than 0"),
        (
            "model.first_input.key",
            "chroma",
            r"config\.model\.first_input\.key is 'chroma', expected",
        ),
        ("data.draw", "all", r"config\.data\.draw is 'all', expected one of balanced, every_track"),
        (
            "loss.teacher",
            "album",
            r"config\.loss\.teacher is 'album', expected one of track, segment",
        ),
        ("data.group_size", 3, r"config\.data\.group_size is 3, expected an even number"),
        (
            "parallel.mining_group",
            3,
            r"config\.parallel\.mining_group is 3, expected a divisor of ",
        ),
        ("parallel.parts", 0, r"config\.parallel\.parts is 0, expected a divisor of the 32 / "),
        ("parallel.parts", 2, r"config\.parallel\.parts is 2, expected 1 with batch norm"),
        ("model.width", float("inf"), r"config\.model\.width is inf, expected more than 0"),
        (
            "model.width",
            1e6,
            r"config\.model\.width is 1000000\.0, expected more than 0 and less than 1000",
        ),
        ("loss.margin", float("nan"), r"config\.loss\.margin is nan, expected at least 0"),
        ("seed", 2**31, r"config\.seed is 2147483648, expected at least 0 and less than 2147"),
        ("data.read_ahead", 0, r"config\.data\.read_ahead is 0, expected more than 0"),
        ("features.standardise.mel", (0.1, 0), r"standardise\.mel is \(0\.1, 0\), expected a mean"),
        ("features.standardise.cens", (1,), r"standardise\.cens is \(1,\), expected a mean"),
        ("loss.band", 0.2, r"config\.loss\.band is 0\.2, expected at most"),
        ("model.embedding_size", 385, r"config\.model\.embedding_size is 385, expected a multiple"),
        ("model.inputs", ("mel", "mel"), r"config\.model\.inputs is"),
        ("model.statistics", ("mel", "mel"), r"config\.model\.statistics is \('mel', 'mel'\)"),
        ("model.statistics", ("audio",), r"statistics is \('audio',\), expected none or some of"),
        (
            "model.dropout",
            1.0,
            r"config\.model\.dropout is 1\.0, expected a share of .*less than 1",
        ),
        ("data.unsure.key", 1.0, r"config\.data\.unsure\.key is 1\.0, expected a share of"),
        ("model.dropout", -0.1, r"config\.model\.dropout is -0\.1, expected at least 0"),
        ("relation.key", "same", r"config\.relation\.key is 'same'"),
        ("model.blocks", 2, r"config\.model\.blocks is 2, expected 3 to 100 with .* = 2"),
        ("model.branch_blocks", 0, r"config\.model\.branch_blocks is 0, expected 1 to 100"),
    ],
)
def test_bad_configuration(field, value, message):
    config = get_config("demo")
    with config.unlocked(), config.ignore_type():
        config.update_from_flattened_dict({field: value})
    with pytest.raises(ValueError, match=message):
        config_module.check(config, devices=8)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("loss.soft_weight", 0.2),
        ("loss.tag_weight", 0.2),
        ("loss.track", "tag_softmax"),
        ("model.statistics", ("mel",)),
        ("optimiser.layers", "tags"),
    ],
)
def test_fields_of_tags_need_a_dimension_of_tags(field, value):
    config = get_config("demo")
    config.update_from_flattened_dict({field: value})
    config_module.check(config, devices=8)
    config.dimensions = ("tempo", "key")
    config.model.embedding_size = 128
    expected = rf"config\.{field} is {re.escape(repr(value))}, expected \w+ without a dimension of"
    with pytest.raises(ValueError, match=expected):
        config_module.check(config, devices=8)


UNCHECKED = {  # free text, and what is checked where it is used
    "start_from",
    "data.dir",
    *(f"data.scores.{name}" for name in ("pieces_per_genre", "renderings", "seconds", "seed")),
}


def test_every_number_and_every_choice_is_checked():
    config = get_config("demo")
    for name, value in fields(json.loads(config.to_json())).items():
        if name in UNCHECKED or isinstance(value, bool):
            continue
        wrong = "another" if isinstance(value, str) else -1
        changed = config.copy_and_resolve_references()
        with changed.unlocked(), changed.ignore_type():
            changed.update_from_flattened_dict(
                {name: [wrong] if isinstance(value, list) else wrong}
            )
        with pytest.raises(ValueError, match=re.escape(f"config.{name} is ")):
            config_module.check(changed, devices=8)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_valid(variant):
    config_module.check(get_config(variant), devices=8)


def test_rate_is_divided_by_five_after_ten_epochs_without_improvement():
    config = get_config("paper")
    plateau = Plateau()
    for loss in [1.0, 0.5, *[0.5] * 9]:
        plateau = plateau.after_epoch(loss, patience=config.optimiser.plateau_patience)
    assert learning_rate(config, 0, plateau) == 1e-5
    plateau = plateau.after_epoch(0.7, patience=config.optimiser.plateau_patience)
    assert learning_rate(config, 0, plateau) == pytest.approx(2e-6)
    assert learning_rate(config, 0, Plateau(cuts=20)) == 1e-10


def test_training_ends_at_the_plateau_after_the_last_cut():
    """B §4.2: at most five cuts, then early stopping; 0 cuts = no end."""
    config = get_config("paper")
    config.optimiser.plateau_cuts = 5
    assert [exhausted(config, Plateau(cuts=cuts)) for cuts in (0, 5, 6)] == [False, False, True]
    config.optimiser.plateau_cuts = 0
    assert not exhausted(config, Plateau(cuts=20))


def test_a_track_term_is_of_triplets():
    config = get_config("paper")
    config.loss.update(method="proxy", track_weight=0.5)
    with pytest.raises(ValueError, match=r"loss.track_weight is 0.5, expected 0 with the method"):
        config_module.check(config, devices=8)
