import pytest
from absl import flags
from absl.testing import flagsaver

from input_pipeline import dataset, default_data, prepare, scores
from input_pipeline.features import FeatureConfig
from tests.conftest import write_csv


def _run(**values):
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(source="csv", estimate=[], workers=1, **values):
        prepare.main(["prepare"])


def test_command_line_prepares_a_csv(track_rows, tmp_path, capsys):
    folder, rows = track_rows
    rows = [*rows[:2], rows[1] | {"path": "none.wav", "track_id": "lost"}]
    out = tmp_path / "out"
    _run(path=str(write_csv(folder / "three.csv", rows)), data_dir=str(out))
    assert capsys.readouterr().out.splitlines() == [
        "2 tracks (2 train), 0.00 hours",
        f"1 tracks skipped, with reasons in {out / 'skipped.csv'}",
        "labelled tracks: genre 2, mood 2, instrument 0, era 2, tempo 2, key 2",
        f"data set: {out}",
    ]
    assert len(dataset.open(out, "train", FeatureConfig())) == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": "none.csv", "data_dir": "out"}, "error: none.csv: no such CSV file"),
        ({"data_dir": "out"}, "error: --source=csv needs --path (the CSV file) and --data_dir"),
        ({"path": "tracks.csv"}, "error: --source=csv needs --path"),
    ],
)
def test_expected_problems_are_one_line(values, message):
    with pytest.raises(SystemExit) as stop:
        _run(**values)
    # A string makes the exit code 1 and is all that Python prints.
    assert stop.value.code.startswith(message) and "\n" not in stop.value.code


def test_default_directory_depends_on_the_configurations(monkeypatch, tmp_path):
    monkeypatch.setenv("JAXSIM_DATA", str(tmp_path))
    directories = {
        default_data.default_directory(
            scores.ScoresConfig(**scores_fields), FeatureConfig(**fields)
        )
        for scores_fields in ({}, {"seed": 1}, {"renderings": 2})
        for fields in ({}, {"hop_length": 256})
    }
    assert len(directories) == 6
    assert {directory.parent for directory in directories} == {tmp_path}
    again = default_data.default_directory(scores.ScoresConfig(), FeatureConfig())
    assert again in directories


def test_scores_that_are_there_are_not_made_again(monkeypatch, prepared_directory):
    monkeypatch.setattr(scores, "tracks", pytest.fail)
    found = default_data.prepare_scores(scores.ScoresConfig(), FeatureConfig(), prepared_directory)
    assert found == prepared_directory
