"""An evaluation of runs whose embeddings are given, on splits that differ: every number by hand.

The dimensions are not in their usual order, the pieces have several tracks, and a track's vectors
are found in no other split. The networks are tables, so that each number can be computed by loops.
"""

import itertools
import json

import numpy as np
import pytest

from configs.six_dim import get_config
from jaxsim.evaluation import comparison, evaluating, metrics, systems, track_embeddings
from jaxsim.evaluation.sampled_triplets import sample_triplets
from jaxsim.evaluation.sections import triplet_section
from jaxsim.training import train_step
from jaxsim.training.saving.checkpoints import Restored
from tests.helpers.batches import FakeDataSet, fake_data

DIMENSIONS, WIDTH = ("key", "genre", "era"), 4
TRAIN, TEST, COUNT = 70, 48, 400
FIRST = {"train": 500, "test": 0}  # of the rows of TABLES
NAMES = tuple("abcdef")


class Numbered(FakeDataSet):
    """Its sounds tell the split too."""

    def read(self, index: int, start: int, frames: int):
        mel, cens, onset = super().read(index, start, frames)
        return mel, cens, onset + 1000 * FIRST[self.split]


def split_of(name: str, tracks: int, seed: int) -> Numbered:
    """Tracks of pieces of four, with labels of their own."""
    random = np.random.default_rng(seed)
    tags = {each: random.random((tracks, 6)) < 0.3 for each in ("genre", "mood", "era")}
    tags["instrument"] = np.zeros((tracks, 6), bool)
    tags["genre"][:, 5] &= name == "test"  # a tag without a prototype
    key = random.integers(-1, 24, tracks).astype(np.int32)
    is_estimated = (key >= 0) & (np.arange(tracks) % 5 > 0)
    confidence = np.where(is_estimated, random.random(tracks), key >= 0)
    data = fake_data(
        tracks,
        split=name,
        track_ids=[f"{name} {number}" for number in range(tracks)],
        groups=[f"{name} {number % (tracks // 4)}" for number in range(tracks)],
        tags=tags,
        key=key,
        key_estimated=is_estimated,
        key_confidence=confidence.astype(np.float32),
    )
    return Numbered(**vars(data))


@pytest.fixture(scope="module")
def splits() -> dict[str, Numbered]:
    return {"train": split_of("train", TRAIN, 1), "test": split_of("test", TEST, 2)}


def table(data: dict[str, Numbered], seed: int, share: float) -> np.ndarray:
    """Embeddings by number: noise, and a share of every dimension's labels in its sub-space.

    It is smaller for some pieces, so that scores of one piece are alike.
    """
    random = np.random.default_rng(seed)
    result = random.normal(size=(600, WIDTH * 3)) + 0.4
    shown = [random.normal(size=(count, WIDTH)) for count in (12, 6, 6)]
    for name, split in data.items():
        own = result[FIRST[name] : FIRST[name] + len(split)]
        labels = np.eye(12)[split.key % 12], split.tags["genre"], split.tags["era"]
        clear = np.array([0.0, 1.0, 3.0])[[int(group.split()[1]) % 3 for group in split.groups]]
        for number, (each, directions) in enumerate(zip(labels, shown, strict=True)):
            part = own[:, WIDTH * number : WIDTH * number + WIDTH]
            part += share * clear[:, None] * (each @ directions)
    return result


def embed(state, batch) -> np.ndarray:
    """A row of the state's table, longer for every later segment."""
    number, start = np.divmod(np.asarray(batch["onset"][:, 0], np.int64), 1000)
    return state.params["table"][number] * (1 + start / 1000)[:, None]


RUNS = {  # seed, share of the labels, fields of config.loss
    "poor": (0, 0.5, {}),
    "good": (1, 5.0, {}),
    "raw": (2, 1.0, dict(method="classification", normalised=False)),
}


def config_of(**loss):
    config = get_config()
    config.dimensions = DIMENSIONS
    config.model.embedding_size = WIDTH * 3
    config.loss.update(loss)
    return config


@pytest.fixture(scope="module")
def params(splits) -> dict[str, dict]:
    found = {name: {"table": table(splits, *given)} for name, (*given, _) in RUNS.items()}
    random = np.random.default_rng(9)
    counts = {"era": 6, "genre": 6, "key": 24}  # by name, as JAX orders them
    found["raw"]["classes"] = {
        name: random.normal(size=(count, WIDTH)) for name, count in counts.items()
    }
    return found


@pytest.fixture(scope="module")
def starts(splits) -> list[dict]:
    return [{"table": table(splits, seed, 0.1)} for seed in (20, 21, 22)]


@pytest.fixture(scope="module")
def results(splits, params, starts, tmp_path_factory) -> dict:
    """evaluation.json of the three runs, with vectors and judgements from files."""
    folder, asked = tmp_path_factory.mktemp("evaluation"), []
    records = {"tag_names": {key: list(NAMES) for key in ("genre", "mood", "era")}, "step": 1}

    def opened(config, names, *, directory: str):
        asked.append((tuple(names), directory))
        return {"train": splits["train"], "validation": splits["test"]}

    def untrained(config, data, *, batch_size: int):
        assert data is splits["train"] and batch_size == 5
        return [train_step.State(np.int32(0), each, {}, ()) for each in starts]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluating, "open_splits", opened)
        patch.setattr(
            evaluating,
            "restore_for_inference",
            lambda run: Restored(config_of(**RUNS[run][2]), params[run], {}, records),
        )
        patch.setattr(track_embeddings, "embedder", lambda config: embed)
        patch.setattr(systems, "untrained_states", untrained)
        patch.setattr(metrics, "RESAMPLES", 500)
        patch.setattr(comparison, "_map", lambda system, data: {})
        patch.setattr(evaluating.reporting, "write", lambda results, folder: [])
        evaluating.evaluate(
            list(RUNS),
            data_dir="somewhere",
            split="validation",
            triplet_files=[judged(folder)],
            embedding_files=[vectors_file(folder, splits)],
            out=str(folder),
            triplets_per_dimension=COUNT,
            batch_size=5,
        )
    assert asked == [(("train", "validation"), "somewhere")]
    return json.loads((folder / "evaluation.json").read_text())


def judged(folder) -> str:
    """Twelve triplets of three tracks each."""
    path = folder / "people.csv"
    rows = [f"test {n},test {3 * n % 48 + 1},test {(7 * n + 20) % 48}" for n in range(3, 15)]
    path.write_text("\n".join(["anchor,positive,negative", *rows]) + "\n")
    return str(path)


def vectors_file(folder, splits) -> str:
    """Vectors of five numbers for every track but each fifth of the test split."""
    path, random = folder / "file.npz", np.random.default_rng(4)
    ids = [*splits["train"].track_ids, *splits["test"].track_ids]
    found = {name: random.normal(size=5) for name in ids}
    for name in splits["test"].track_ids[::5]:
        del found[name]
    np.savez(path, **found)
    return str(path)


def embedded(params: dict, split: Numbered, *, raw: bool) -> np.ndarray:
    """The vectors [N, S, D] of a run's tracks: means over segments, each part at length 1."""
    result = np.zeros((len(split), 3, WIDTH))
    for track, length in enumerate(split.num_frames):
        starts = range(0, int(length) - 128, 129)
        whole = params["table"][FIRST[split.split] + track] * np.mean(
            [1 + s / 1000 for s in starts]
        )
        for number in range(3):
            part = whole[WIDTH * number : WIDTH * number + WIDTH]
            result[track, number] = part if raw else part / np.sqrt(part @ part)
    return result


@pytest.fixture(scope="module")
def vectors(splits, params) -> dict[str, dict[str, np.ndarray]]:
    """By run and split."""
    return {
        run: {
            name: embedded(params[run], split, raw=run == "raw") for name, split in splits.items()
        }
        for run in RUNS
    }


@pytest.fixture(scope="module")
def drawn(splits):
    return sample_triplets(splits["test"], config_of(), count=COUNT, seed=comparison.SEED)


def hits(vectors: np.ndarray, rows) -> np.ndarray:
    """1 where the positive is nearer than the negative, for vectors [N, D]."""
    return np.array(
        [
            float(np.sum((vectors[a] - vectors[p]) ** 2) < np.sum((vectors[a] - vectors[n]) ** 2))
            for a, p, n in zip(rows.anchor, rows.positive, rows.negative, strict=True)
        ]
    )


def whole(vectors: np.ndarray) -> np.ndarray:
    return vectors.reshape(len(vectors), -1)


@pytest.mark.parametrize("run", RUNS)
def test_a_triplet_is_predicted_in_its_own_sub_space(run, results, vectors, drawn) -> None:
    found = results["systems"][run]
    assert results["dimensions"] == found["dimensions"] == list(DIMENSIONS)
    assert found["raw"] == (run == "raw")
    for number, name in enumerate(DIMENSIONS):
        scores, rows = found["triplets"][name], drawn[name]
        each = [hits(vectors[run]["test"][:, part], rows).mean() for part in range(3)]
        assert scores["own"]["value"] == pytest.approx(each[number])
        assert scores["by_sub_space"] == pytest.approx(dict(zip(DIMENSIONS, each, strict=True)))
        together = hits(whole(vectors[run]["test"]), rows).mean()
        assert scores["whole"]["value"] == pytest.approx(together)
        assert len({*np.round(each, 6), round(together, 6)}) == 4, "they differ"


def test_keys_of_which_their_estimator_is_surer(results, vectors, splits, drawn) -> None:
    data, rows = splits["test"], drawn["key"]
    pairs = zip(data.key_estimated, data.key_confidence, strict=True)
    estimates = sorted(confidence for is_estimated, confidence in pairs if is_estimated)
    sure = [
        data.key[row] >= 0
        and (not data.key_estimated[row] or 2 * sum(e < c for e in estimates) >= len(estimates) - 1)
        for row, c in enumerate(data.key_confidence)
    ]
    assert 0.4 * sum(data.key >= 0) < sum(sure) < 0.8 * sum(data.key >= 0)
    chosen = [all(sure[row] for row in three) for three in zip(*vars(rows).values(), strict=True)]
    assert 20 < sum(chosen) < COUNT / 2
    found = results["systems"]["poor"]["triplets"]
    each = [hits(vectors["poor"]["test"][:, part], rows)[chosen].mean() for part in range(3)]
    assert found["key"]["surer"]["triplets"] == sum(chosen)
    assert found["key"]["surer"]["own"]["value"] == pytest.approx(each[0])
    by_sub_space = dict(zip(DIMENSIONS, each, strict=True))
    assert found["key"]["surer"]["by_sub_space"] == pytest.approx(by_sub_space)
    together = hits(whole(vectors["poor"]["test"]), rows)[chosen].mean()
    assert found["key"]["surer"]["whole"]["value"] == pytest.approx(together)
    assert each[0] != pytest.approx(found["key"]["own"]["value"])
    assert "surer" not in found["genre"]
    (table,) = (t for title, t in triplet_section(results).tables if "madmom is surer" in title)
    (row,) = (row for row in table.rows if row[1] == "poor")
    assert (row[0], row[2], row[5]) == ("key", str(sum(chosen)), f"{max(each[1:]):.3f}")
    assert row[3].startswith(f"{each[0]:.3f} [") and row[4].startswith(f"{together:.3f} [")


def test_a_better_first_system_has_positive_differences(results, vectors, starts, splits, drawn):
    """The first is the poor one: its difference from the good one is negative."""
    differences = results["differences"]
    assert list(differences) == ["good", "raw", "poor, untrained", "MFCC", "file"]
    for number, name in enumerate(DIMENSIONS):
        mine = hits(vectors["poor"]["test"][:, number], drawn[name])
        good = hits(vectors["good"]["test"][:, number], drawn[name])
        found = differences["good"][name]["own"]
        assert found["value"] == pytest.approx(np.mean(mine - good))
        assert found["low"] < found["value"] < -0.02
        before = [
            hits(embedded(start, splits["test"], raw=False)[:, number], drawn[name])
            for start in starts
        ]
        found = differences["poor, untrained"][name]["own"]
        assert found["value"] == pytest.approx(np.mean(mine - np.array(before)))
        score = results["systems"]["poor, untrained"]["triplets"][name]["own"]["value"]
        assert score == pytest.approx(np.mean(before))


def test_intervals_are_over_pieces(results, vectors, splits, drawn) -> None:
    """Of the anchors; over triplets they would be narrower."""
    groups, wider = np.array(splits["test"].groups), []
    for number, name in enumerate(DIMENSIONS):
        values = hits(vectors["good"]["test"][:, number], drawn[name])
        of = groups[drawn[name].anchor]
        by_piece = [values[of == piece] for piece in sorted(set(of))]
        random, means = np.random.default_rng(3), []
        for _ in range(3000):
            pieces = random.integers(len(by_piece), size=len(by_piece))
            means.append(np.concatenate([by_piece[piece] for piece in pieces]).mean())
        low, high = np.quantile(means, (0.025, 0.975))
        found = results["systems"]["good"]["triplets"][name]["own"]
        assert (found["low"], found["high"]) == pytest.approx((low, high), abs=0.1 * (high - low))
        wider.append((high - low) / (3.92 * values.std() / np.sqrt(len(values))))
    assert min(wider) > 1.3


def area(scores: np.ndarray, labels: np.ndarray) -> float:
    """Share of (track with the tag, track without) in which the first has the higher score."""
    pairs = itertools.product(scores[labels], scores[~labels])
    return float(np.mean([(one > other) + 0.5 * (one == other) for one, other in pairs]))


@pytest.mark.parametrize("run", ["poor", "good"])
def test_prototypes_are_of_the_training_tracks(run, results, vectors, splits) -> None:
    train, test = splits["train"], splits["test"]
    found = results["systems"][run]["tagging"]
    assert found.keys() == {"genre", "era", "all tags"}
    for name in ("genre", "era"):
        number, areas = DIMENSIONS.index(name), {}
        assert found[name]["by"] == "prototypes"
        for tag in range(6 if name == "era" else 5):
            centre = vectors[run]["train"][train.tags[name][:, tag], number].mean(axis=0)
            to_it = np.linalg.norm(vectors[run]["test"][:, number] - centre, axis=1)
            areas[NAMES[tag]] = area(-to_it, test.tags[name][:, tag])
        assert found[name]["tags"] == pytest.approx(areas)
        assert found[name]["auc"]["value"] == pytest.approx(np.mean(list(areas.values())))


def test_a_classifier_scores_with_its_own_vectors(results, params, splits) -> None:
    """Means over the segments, of raw scores."""
    test, found = splits["test"], results["systems"]["raw"]["tagging"]
    for number, name in enumerate(DIMENSIONS):
        if name == "key":
            continue
        assert found[name]["by"] == "classifier"
        own = embedded(params["raw"], test, raw=True)[:, number]
        scores = own @ params["raw"]["classes"][name].T
        areas = {NAMES[tag]: area(scores[:, tag], test.tags[name][:, tag]) for tag in range(6)}
        assert found[name]["tags"] == pytest.approx(areas, abs=2e-3)


def test_neighbours_are_of_other_pieces_in_the_dimensions_sub_space(results, vectors, splits):
    test = splits["test"]
    tags = {name: test.tags[name] for name in ("genre", "era")}
    tags["all tags"] = np.concatenate([test.tags[n] for n in ("genre", "mood", "era")], axis=1)
    for run, (name, labels) in itertools.product(RUNS, tags.items()):
        places = vectors[run]["test"]
        places = places[:, DIMENSIONS.index(name)] if name in DIMENSIONS else whole(places)
        recalls = []
        for query in range(TEST):
            others = [row for row in range(TEST) if test.groups[row] != test.groups[query]]
            nearest = sorted(others, key=lambda row: np.sum((places[row] - places[query]) ** 2))
            if labels[query].any():
                shared = labels[nearest[:2]].any(axis=0) & labels[query]
                recalls.append(shared.sum() / labels[query].sum())
        assert results["systems"][run]["retrieval"][name]["R@2"]["value"] == pytest.approx(
            np.mean(recalls)
        )


def test_judged_triplets_are_in_the_whole_space_and_in_all_subsets(results, vectors) -> None:
    numbers = np.array([[n, 3 * n % 48 + 1, (7 * n + 20) % 48] for n in range(3, 15)])
    rows = metrics.Triplets(*numbers.T)
    for run in RUNS:
        found, places = results["systems"][run], vectors[run]["test"]
        assert found["judged"]["people"]["triplets"] == 12
        score = found["judged"]["people"]["whole"]["value"]
        assert score == pytest.approx(hits(whole(places), rows).mean())
        for row in found["subsets"]["people"]:
            chosen = [DIMENSIONS.index(name) for name in row["subset"]]
            assert row["value"] == pytest.approx(hits(whole(places[:, chosen]), rows).mean())


def test_collapse_is_measured_in_every_sub_space(results, vectors) -> None:
    for run in RUNS:
        for number, name in enumerate(DIMENSIONS):
            own = vectors[run]["test"][:, number]
            directions = own / np.linalg.norm(own, axis=1, keepdims=True)
            found = results["systems"][run]["collapse"][name]
            assert found["spread"] == pytest.approx(1 - np.sum(directions.mean(axis=0) ** 2))
            variances = np.linalg.eigvalsh(np.cov(own.T))
            rank = variances.sum() ** 2 / np.sum(variances**2)
            assert found["effective_rank"] == pytest.approx(rank)


def test_a_file_is_measured_on_the_tracks_that_it_has(results, splits, drawn) -> None:
    """And its prototypes are those of its training tracks."""
    random, test = np.random.default_rng(4), splits["test"]
    ids = [*splits["train"].track_ids, *test.track_ids]
    found = {name: random.normal(size=5) for name in ids}
    places = np.array([found[name] for name in test.track_ids])
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    missing = set(range(0, TEST, 5))
    system = results["systems"]["file"]
    assert system["coverage"] == pytest.approx(1 - len(missing) / TEST)
    for name in DIMENSIONS:
        kept = [
            number
            for number, rows in enumerate(
                zip(drawn[name].anchor, drawn[name].positive, drawn[name].negative, strict=True)
            )
            if not missing & set(rows)
        ]
        assert system["triplets"][name]["triplets"] == len(kept)
        right = hits(places, drawn[name])[kept]
        assert system["triplets"][name]["own"]["value"] == pytest.approx(right.mean())
    training = np.array([found[name] for name in splits["train"].track_ids])
    training /= np.linalg.norm(training, axis=1, keepdims=True)
    has = np.array([row not in missing for row in range(TEST)])
    for tag in range(6):
        centre = training[splits["train"].tags["era"][:, tag]].mean(axis=0)
        scores = -np.linalg.norm(places - centre, axis=1)
        expected = area(scores[has], test.tags["era"][has, tag])
        assert system["tagging"]["era"]["tags"][NAMES[tag]] == pytest.approx(expected)


def test_the_data_are_described(results, splits) -> None:
    data = results["data"]
    assert (data["tracks"], data["training_tracks"], data["groups"]) == (TEST, TRAIN, 12)
    test = splits["test"]
    assert data["labelled"]["era"] == test.tags["era"].any(axis=1).sum()
    assert data["labelled"]["key"] == (test.key >= 0).sum()
