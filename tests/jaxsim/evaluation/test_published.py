"""The papers' numbers stand beside the same measure of the same kind of triplets, nowhere else."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from configs.six_dim import get_config
from jaxsim.evaluation import comparison, judgements, published
from jaxsim.evaluation.sections import Section, sections
from jaxsim.evaluation.systems import System
from tests.helpers.batches import fake_data

DIMENSIONS = ("genre", "mood", "instrument", "era", "tempo", "key")
RAW_VOTES = [(9, 1), (1, 11), (5, 1), (2, 4)]  # two of four with an agreement of 0.9
CLEAN_VOTES = [(1, 0), (0, 1), (0, 1)]


def dim_sim(path: Path, votes: Sequence[tuple[int, int]]) -> Path:
    columns = ("anchor_id", "song1_id", "song2_id", "song1_vote", "song2_vote")
    rows = [(str(i), str(i + 7), str(i + 20), *each) for i, each in enumerate(votes)]
    path.write_text("\n".join(",".join(map(str, row)) for row in (columns, *rows)) + "\n")
    return path


def odd_one_out(path: Path) -> Path:
    columns = [f"clip{i}_{what}" for what in ("id", "numvotes") for i in (1, 2, 3)]
    path.write_text("\t".join(columns) + "\n1\t2\t3\t0\t0\t4\n")
    return path


def generic(path: Path) -> Path:
    path.write_text("anchor,positive,negative\n1,2,3\n2,4,6\n")
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [
        odd_one_out(tmp_path / "comparisons_final.csv"),
        dim_sim(tmp_path / "raw.csv", RAW_VOTES),
        dim_sim(tmp_path / "clean.csv", CLEAN_VOTES),
        generic(tmp_path / "mine.csv"),
    ]


def system(name: str, dimensions: tuple[str, ...] = DIMENSIONS, seed: int = 0) -> System:
    vectors = np.random.default_rng(seed).normal(size=(40, max(len(dimensions), 1), 4))
    known = np.ones(40, bool)
    return System(name, dimensions, vectors, known, vectors, known)


def evaluated(files: Sequence[Path], *systems: System) -> dict:
    data = fake_data(40)
    results = comparison.compare(
        systems,
        data,
        data,
        config=get_config(),
        count=30,
        judgements=[judgements.read(path) for path in files],
    )
    return json.loads(json.dumps(results))


def section(results: dict, title: str) -> Section:
    (found,) = [each for each in sections(results) if each.title == title]
    return found


def test_a_stands_only_beside_dim_sim_with_high_agreement(files: list[Path]) -> None:
    results = evaluated(files, system("mine"))
    ((_, table),) = section(results, "Triplets that people judged").tables
    sets = ("comparisons_final", "raw", "raw, agreement >= 0.9", "clean", "mine")
    assert tuple(table.headings) == ("system", *sets)
    own, *of_a = table.rows
    assert [row[0].split(": A Table 1")[0] for row in of_a] == [
        title for title, _ in published.A_TRIPLET_SCORE.values()
    ]
    assert [row[1:] for row in of_a if row[0].startswith("6 dimensions, three inputs")] == [
        ["n/a", "n/a", "0.8380", "0.8380", "n/a"]
    ]
    beside = {
        title.removeprefix("mine, "): "A Table 2" in table.headings
        for title, table in section(results, "Combinations of sub-spaces").tables
    }
    expected = dict.fromkeys(sets, False) | {"raw, agreement >= 0.9": True, "clean": True}
    assert beside == expected | {"all dimensions' triplets": False}


def test_a_does_not_stand_beside_other_judgements(files: list[Path]) -> None:
    results = evaluated([files[0], files[3]], system("mine"))
    ((_, table),) = section(results, "Triplets that people judged").tables
    assert [row[0] for row in table.rows] == ["mine"]
    older = {name: {"used": 2, "of": 2} for name in results["judged_triplets"]}
    again = section({**results, "judged_triplets": older}, "Triplets that people judged")
    assert again.tables[0][1] == table
    assert dataclasses.asdict(again)["text"].startswith("comparisons_final: 2 of 2 triplets")
