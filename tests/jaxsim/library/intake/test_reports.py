"""The last lines of an update count everything."""

import pytest

from jaxsim.library.intake.reports import Report, kind_of


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("file is empty", "file is empty"),
        ("its name is not UTF-8", "its name is not UTF-8"),
        ("has samples that are not finite", "has samples that are not finite"),
        ("has samples up to 3e+38, expected at most 1e+06", "has samples"),
        ("too short: 0.10 s is 5 frames, expected at least 129", "too short"),
        ("cannot be read (its worker process died)", "cannot be read"),
        ("track_id 'it's' is already used by /music/a.wav", "track_id is already used"),
        ("tempo is 'fast', expected beats per minute in (0, 1000)", "tempo"),
        ("tags of WAVE files are not written", "tags of WAVE files are not written"),
    ],
)
def test_kinds_of_reasons(reason: str, kind: str) -> None:
    assert kind_of(reason) == kind


def test_names_of_files_cannot_break_a_line() -> None:
    report = Report(skipped={"/music/a\nb\x1b[2J\u202e é\u3000.wav": "file is empty"})
    first, *_ = report.describe().splitlines()
    assert first == r"file is empty: /music/a\nb\x1b[2J\u202e é" + "\u3000.wav"


def test_reasons_are_counted_by_kind() -> None:
    report = Report(skipped={"a": "file is empty", "b": "silent: all of it", "c": "file is empty"})
    assert "refused: file is empty 2, silent 1" in report.describe().splitlines()
