"""The papers' numbers stand beside the same measure of the same kind of triplets, nowhere else."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from configs.six_dim import get_config
from jaxsim.evaluation import comparison, figures, judgements, metrics, published
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


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without maps, and with hasty intervals, which no test here looks at."""
    monkeypatch.setattr(comparison, "_map", lambda system, data: {})
    monkeypatch.setattr(metrics, "RESAMPLES", 10)
    monkeypatch.setattr(metrics, "TAGGING_RESAMPLES", 10)


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
    _, *of_a = table.rows
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


def test_b_stands_beside_its_rows(files: list[Path]) -> None:
    """Table 3 beside own sub-space and whole space, Table 4 beside dim-sim, as the paper has it."""
    tags = ("genre", "mood", "instrument", "era")
    divided = "classification_disentangled"
    results = evaluated(files, system(divided, tags), system("proxy", ()), system("mine", ()))
    tables = dict(section(results, "Triplet prediction").tables)
    unknown = ["n/a"] * 3  # tempo, key, and the mean of all six
    own = tables["Own sub-space (or the whole, undivided space)"].rows
    assert [row for row in own if ": B " in row[0]] == [
        [f"{divided}: B Table 3, on the MSD", "0.775", "0.739", "0.732", "0.701", *unknown]
    ]
    assert [row for row in tables["Whole space"].rows if ": B " in row[0]] == [
        [f"{divided}: B Table 3, on the MSD", "0.758", "0.742", "0.659", "0.715", *unknown],
        ["proxy: B Table 3, on the MSD", "0.774", "0.742", "0.645", "0.693", *unknown],
    ]
    ((_, judged),) = section(results, "Triplets that people judged").tables
    names = [row[0] for row in judged.rows]
    row = names.index("proxy: B Table 4, dim-sim")
    assert names[row - 1] == "proxy" and names[row + 1] == "mine"
    assert judged.rows[row][1:] == ["n/a", "n/a", "0.784", "0.784", "n/a"]
    assert judged.rows[names.index(f"{divided}: B Table 4, dim-sim")][4] == "0.801"


def run_of(method: str, batch_size: int, speeds: Sequence[float], validations: Sequence[int]):
    """Config and log of a run, as far as its time depends on them."""
    config = json.loads(get_config().to_json())
    config["loss"]["method"], config["batch_size"] = method, batch_size
    numbers = dict.fromkeys(config["dimensions"], 0.5)
    log = [
        {"step": step, "loss": numbers, "active": numbers, "examples_per_second": speed}
        for step, speed in enumerate(speeds, start=1)
    ]
    log += [{"step": step, "validation_own": numbers} for step in validations]
    return {"config": config, "log": log, "step": 9, "commit": None}


def test_training_times_are_relative_to_b_s_fastest_row() -> None:
    """Steps to the last validation x batch size / median speed, in a table with B's ratios."""
    names = ("triplet", "classification", "classification_unnormalised", "short")
    systems = [
        dataclasses.replace(system(name, ()), details=details)
        for name, details in zip(
            names,
            (
                run_of("triplet", 32, (10.0, 20.0, 900.0), (40, 100)),  # 160 s
                run_of("classification", 64, (64.0,), (40,)),  # 40 s
                run_of("classification", 16, (8.0, 8.0, 1.0), (20, 40)),  # 80 s
                run_of("proxy", 16, (8.0,), ()),  # not validated
            ),
            strict=True,
        )
    ]

    results = evaluated([], *systems)

    def ratios(*chosen: str) -> list[tuple[str, ...]]:
        those = {name: results["systems"][name] for name in chosen}
        ((_, table),) = section(results | {"systems": those, "differences": {}}, "Training").tables
        if "time ratio" not in table.headings:
            return []
        first = list(table.headings).index("time ratio")
        assert table.headings[first + 1] == "B Table 1"
        return [tuple(row[first : first + 2]) for row in table.rows]

    assert ratios(*names) == [
        ("2.00", "1.87"),
        ("0.50", "1.00"),
        ("1.00", "1.00"),
        ("n/a", "n/a"),
    ]
    assert ratios(*names[:2]) == [("4.00", "1.87"), ("1.00", "1.00")]
    assert ratios(names[1]) == ratios(names[0], names[3]) == []
    assert "relative to classification_unnormalised" in section(results, "Training").text


def test_judged_triplets_have_a_kiviat_diagram_of_single_sub_spaces(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Fig. 3: A's own numbers with dim-sim's, and no untrained or undivided systems."""
    drawn = []
    monkeypatch.setattr(figures, "kiviat", lambda scores: drawn.append(scores) or "<svg/>")
    mine = system("mine")
    results = evaluated(
        files[1:2],
        mine,
        system("mine, untrained", seed=1),
        system("flat", ()),
        system("four", DIMENSIONS[:4]),
    )
    shown = section(results, "Triplet prediction").figures
    assert ["raw" in caption for _, caption in shown] == [False, True, True]
    _, judged, strict = drawn
    assert list(judged) == ["mine", "four"]
    assert list(strict) == ["mine", "four", "A Table 2"]
    assert strict["A Table 2"] == published.A_SINGLE_DIMENSION
    rows = judgements.read(files[1]).rows([str(number) for number in range(40)])
    for number, name in enumerate(DIMENSIONS):
        own = mine.vectors[:, number]
        right = [
            np.sum((own[a] - own[p]) ** 2) < np.sum((own[a] - own[n]) ** 2)
            for a, p, n in zip(rows.anchor, rows.positive, rows.negative, strict=True)
        ]
        assert judged["mine"][name] == np.mean(right)
    assert set(judged["four"]) == set(DIMENSIONS[:4])
    drawn.clear()
    section(evaluated(files[1:2], system("four", DIMENSIONS[:4])), "Triplet prediction")
    assert set(drawn[-1]["A Table 2"]) == set(DIMENSIONS[:4])
