"""Files of judged triplets: three forms in, the same triplets out."""

import json
from pathlib import Path

import numpy as np
import pytest

from jaxsim.evaluation import judgements


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_plain_triplets(tmp_path: Path) -> None:
    path = write(tmp_path / "judged.csv", "anchor,positive,negative\na,b,c\nb,a,d\n")
    found = judgements.read(path)
    assert (found.name, found.ids) == ("judged", [("a", "b", "c"), ("b", "a", "d")])
    assert (found.form, found.title) == ("triplets", "judged")
    rows = found.rows(["c", "b", "a"])  # d is not there
    np.testing.assert_array_equal([rows.anchor, rows.positive, rows.negative], [[2], [1], [0]])


DIM_SIM = [  # triplet, anchor, song 1, song 2, votes
    ("t1", "A", "B", "C", 5, 1),
    ("t2", "A", "C", "B", 1, 11),
    ("t3", "B", "A", "C", 3, 3),  # the voters do not agree
]
COLUMNS = ("triplet_id", "anchor_id", "song1_id", "song2_id", "song1_vote", "song2_vote")


@pytest.mark.parametrize("form", ["csv", "records", "columns", "indexed columns"])
def test_dim_sim(tmp_path: Path, form: str) -> None:
    records = [dict(zip(COLUMNS, row, strict=True)) for row in DIM_SIM]
    if form == "csv":
        lines = [",".join(map(str, row)) for row in (COLUMNS, *DIM_SIM)]
        path = write(tmp_path / "clean.csv", "\r\n".join(lines) + "\r\n")
    else:
        columns = {name: [record[name] for record in records] for name in COLUMNS}
        indexed = {name: dict(enumerate(values)) for name, values in columns.items()}
        content = {"records": records, "columns": columns, "indexed columns": indexed}[form]
        path = write(tmp_path / "clean.json", json.dumps(content))
    found = judgements.read(path)
    assert found.ids == [("A", "B", "C"), ("A", "B", "C")]
    np.testing.assert_allclose(found.agreement, [5 / 6, 11 / 12])
    strict = found.at_least(0.9)
    assert strict.ids == [("A", "B", "C")]
    assert (found.title, strict.title) == ("clean", "clean, agreement >= 0.9")
    assert (strict.name, strict.form, strict.threshold) == ("clean", "dim-sim", 0.9)


def test_odd_one_out(tmp_path: Path) -> None:
    """Votes against a clip are votes for the other two; opposing votes are subtracted."""
    names = [f"clip{i}_{what}" for what in ("id", "numvotes", "mp3_path") for i in (1, 2, 3)]
    rows = [
        ["1", "2", "3", "0", "1", "4", "x", "y", "z"],
        ["3", "1", "2", "2", "0", "0", "", "", ""],
    ]
    text = "\n".join("\t".join(row) for row in [names, *rows])
    found = judgements.read(write(tmp_path / "comparisons_final.csv", text))
    assert found.form == "odd one out"
    # 3 is odd 4 + 2 times, 2 is odd once.
    agreement = dict(zip(found.ids, found.agreement, strict=True))
    assert agreement == {
        ("1", "2", "3"): pytest.approx(6 / 7),
        ("2", "1", "3"): 1.0,
        ("3", "1", "2"): 1.0,
    }


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", "anchor,positive\na,b\n", "has columns anchor, positive; expected anchor, pos"),
        ("t.csv", "", "has columns none"),
        (
            "t.csv",
            "anchor,positive,negative\na,b,c\na,,c\n",
            "row 2: positive is '', expected a tr",
        ),
        (
            "t.csv",
            ",".join(COLUMNS) + "\nt,A,B,C,many,1\n",
            "row 1: song1_vote is 'many', expected a number of votes",
        ),
        ("t.csv", ",".join(COLUMNS) + "\nt,A,B,C,2,2\n", "no triplet on which the votes differ"),
        ("t.json", "{", "not a table of triplets"),
        ("t.json", "[1, 2]", "not a table of triplets"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, name, text, message) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(ValueError, match=message) as error:
        judgements.read(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
