"""The evaluation as its user runs it: systems in, numbers and a page out."""

import functools
import html
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs.six_dim import get_config
from input_pipeline.datasets import dataset
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.tracks import KEYS
from jaxsim import evaluate, export, report
from jaxsim.evaluation import excerpts, judgements, reporting, systems, track_embeddings
from jaxsim.evaluation.comparison import compare
from jaxsim.evaluation.retrieval_section import retrieval_section
from jaxsim.library.intake.embedding import Embedder
from jaxsim.training import train_step
from jaxsim.training.saving.checkpoints import restore_for_inference
from tests.helpers.batches import fake_data

COUNT = 60


@pytest.fixture(scope="module")
def data(prepared_directory: Path):
    """The split of four tracks, for everything: the others have no triplets."""
    split = dataset.open(prepared_directory, "train", FeatureConfig())
    return {"train": split, "test": split}


@pytest.fixture(scope="module")
def embeddings(data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of three of the four tracks, and of one that is not there."""
    path = tmp_path_factory.mktemp("embeddings") / "others.npz"
    random = np.random.default_rng(0)
    ids = [*data["test"].track_ids[:3], "another"]
    np.savez(path, **{name: random.normal(size=5) for name in ids})
    return path


@pytest.fixture(scope="module")
def excerpts_alone(data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Vectors of the excerpts of three of the four tracks: each is its track's alone, or nearly."""
    path = tmp_path_factory.mktemp("embeddings") / "excerpts.npz"
    vectors = {}
    for number, track_id in enumerate(data["test"].track_ids[1:]):
        vectors[f"{track_id}#1"] = np.eye(4)[number]
        vectors[f"{track_id}#2"] = 3 * np.eye(4)[number] + 0.1 * number
    np.savez(path, **vectors)
    return path


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "shipped.npz"
    export.main([f"--checkpoint={finished}", f"--out={path}"])
    return path


@pytest.fixture(scope="module")
def judged(data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three triplets, of which one names an unknown track and one a track without a vector."""
    path = tmp_path_factory.mktemp("judged") / "people.csv"
    a, b, c, d = data["test"].track_ids
    path.write_text(f"anchor,positive,negative\n{a},{b},{c}\n{a},{c},{d}\n{a},unknown,{b}\n")
    return path


@pytest.fixture(scope="module")
def estimated(data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tempo and key of three of the four tracks: right, at twice the tempo, and without a key."""
    path, split = tmp_path_factory.mktemp("estimated") / "essentia.csv", data["test"]
    lines = ["track_id,tempo,key"]
    for row, (factor, key) in enumerate([(1, "A minor"), (2, "C"), (1.5, "")]):
        lines.append(f"{split.track_ids[row]},{factor * split.tempo[row]},{key}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def outcome(
    finished: Path,
    classifier: Path,
    exported: Path,
    embeddings: Path,
    excerpts_alone: Path,
    judged: Path,
    estimated: Path,
    tmp_path_factory,
):
    """What the command does, with everything that it can compare: results and folder."""
    out = tmp_path_factory.mktemp("out")
    evaluate.main(
        [
            f"--checkpoint={finished},{classifier}",
            f"--triplets={judged}",
            f"--model={exported}",
            f"--embeddings={embeddings},{excerpts_alone}",
            f"--estimates={estimated}",
            f"--out={out}",
            "--excerpt=3",  # one segment
            f"--triplets_per_dimension={COUNT}",
            "--split=train",  # the others have no triplets
            "--batch_size=8",
        ]
    )
    return json.loads((out / "evaluation.json").read_text()), out


def test_what_is_heard_is_measured(outcome) -> None:
    """Four tracks with a tempo and three with a key; the exported model reads nothing."""
    results, folder = outcome
    assert results["readings"]["tempo"]["given"]["tracks"] == 4
    assert set(results["readings"]["key"]["given"]["readers"]) == {"features", "librosa"}
    assert all(system["readings"] is None for system in results["systems"].values())
    page = (folder / "report.html").read_text()
    for text in ("What is heard", "Tempo, against given tempi, 4 tracks", "librosa.feature.tempo"):
        assert text in page


def test_other_systems_estimates_stand_beside(outcome, data) -> None:
    """Of four tempi, one is right and one twice the tempo; a track that the file lacks is wrong."""
    results, folder = outcome
    own = results["estimates"]["essentia"]
    tempo, key = own["tempo"]["given"], own["key"]["given"]
    assert tempo["covered"] == 3
    assert [tempo["scores"][name]["value"] for name in ("accuracy 1", "accuracy 2")] == [0.25, 0.5]
    keys = data["test"].key.tolist()
    said = [KEYS.index("A minor"), KEYS.index("C major"), -1, -1]
    known = [(one, other) for one, other in zip(said, keys, strict=True) if other >= 0]
    assert key["covered"] == sum(one >= 0 for one, _ in known)
    exact = np.mean([one == other for one, other in known])
    assert key["scores"]["exact"]["value"] == pytest.approx(exact)
    rows = rows_of((folder / "report.html").read_text())
    assert "essentia (of 3 tracks)" in [row[0] for row in rows]
    assert "essentia" not in results["systems"]


def test_every_system_is_measured(outcome, finished: Path, classifier: Path) -> None:
    results, _ = outcome
    names = [finished.name, classifier.name, "shipped", f"{finished.name}, untrained", "MFCC"]
    assert list(results["systems"]) == [*names, "others", "excerpts"]
    assert results["dimensions"] == ["genre", "mood"]
    for name, system in results["systems"].items():
        divided = name.startswith((finished.name, "shipped"))
        assert system["dimensions"] == (["genre", "mood"] if divided else [])
        assert bool(system["subsets"]) == divided
        assert list(system["triplets"]) == ["genre", "mood"]
        for dimension, scores in system["triplets"].items():
            assert 0 <= scores["own"]["low"] <= scores["own"]["value"] <= scores["own"]["high"] <= 1
            assert set(scores["by_sub_space"]) == ({"genre", "mood"} if divided else set())
            if divided:
                assert scores["by_sub_space"][dimension] == scores["own"]["value"]
            else:
                assert scores["own"] == scores["whole"]


def test_an_exported_model_is_measured_as_its_run(outcome, finished: Path) -> None:
    """The folded network is the same one, up to rounding; its tags are scored by prototypes."""
    systems = outcome[0]["systems"]
    run, model = systems[finished.name], systems["shipped"]
    for name in ("triplets", "retrieval", "collapse", "excerpts"):
        expected, found = jax.tree.leaves(run[name]), jax.tree.leaves(model[name])
        assert found == [
            each if isinstance(each, str) else pytest.approx(each, abs=1e-4) for each in expected
        ]
    assert "config" not in model


def test_excerpts_of_every_system(outcome, data) -> None:
    """Groups of one track have no album; vectors that each track has alone find it."""
    results, out = outcome
    ids = data["test"].track_ids
    cut = results["excerpts"]
    assert (cut["seconds"], cut["tracks"], cut["left_out"]) == (3.0, 4, 0)
    assert list(cut["cut"]) == ids
    for row, each in enumerate(cut["cut"].values()):
        length = data["test"].num_frames[row] * 512 / 22050
        middle = (np.array(each["start"]) + each["seconds"] / 2) / length
        np.testing.assert_allclose(middle, [0.25, 0.75], atol=0.01)
        assert each["seconds"] == pytest.approx(129 * 512 / 22050, abs=1e-3)
    for name, system in results["systems"].items():
        found = system["excerpts"]
        if name == "others":
            assert found is None
            continue
        assert found["queries"] == found["without_album"] == (6 if name == "excerpts" else 8)
        spaces = ["cosine", "z-scored", "whitened", "search", "search by tags"]
        assert list(found["spaces"]) == spaces
        for scores in found["spaces"].values():
            assert list(scores) == ["track", "album", "R@1 track", "R@1 album"]
            assert scores["album"] is scores["R@1 album"] is None
            assert 0 <= scores["track"]["low"] <= scores["track"]["value"] <= 1
        assert found["fitted_to"] == "these excerpts", "eight are not two per column"
        assert found["strength"] in (0.02, 0.1, 0.3)
    of_one_track = results["systems"]["excerpts"]["excerpts"]["spaces"]["cosine"]
    assert of_one_track["track"]["value"] == of_one_track["R@1 track"]["value"] == 1
    assert results["systems"]["excerpts"]["coverage"] == 0.75
    for text in ((out / "report.html").read_text(), (out / "report.md").read_text()):
        assert "Retrieval" in text and "R@1 album" in text
        assert "search, without tempo and key" in text
        assert "excerpts (75% of the tracks)" in text
        assert "8 queries have no answer for the album" in text


def test_an_excerpt_is_embedded_as_a_recording_of_its_own(data, finished: Path) -> None:
    """As the library embeds its features alone; not as the segments of the whole track."""
    cuts = {"test": (cut := excerpts.cut(data["test"], seconds=3))}
    restored = restore_for_inference(finished)
    (system,) = systems.of_run(finished, restored, data, batch_size=3, untrained=False, cuts=cuts)
    embedder = Embedder(finished)
    for number, (row, frames) in enumerate(zip(cut.track, cut.frames, strict=True)):
        for place, start in enumerate(cut.start[number]):
            whole = data["test"].stored(row)
            alone = {name: array[start : start + frames] for name, array in whole.items()}
            ((_, expected),) = embedder.stream([(None, alone)])
            found = system.excerpts["test"][number, place].ravel()
            np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_classifier_scores_tags_itself(outcome, classifier: Path, finished: Path) -> None:
    systems = outcome[0]["systems"]
    assert systems[classifier.name]["tagging"]["genre"]["by"] == "classifier"
    assert systems[finished.name]["tagging"]["genre"]["by"] == "prototypes"


def test_partial_coverage_is_said(outcome) -> None:
    results, _ = outcome
    people = {"used": 2, "of": 3, "form": "triplets", "agreement": 1.0}
    assert results["judged_triplets"] == {"people": people}
    assert results["systems"]["others"]["coverage"] == 0.75
    assert results["systems"]["others"]["judged"]["people"]["triplets"] == 1
    assert results["systems"]["MFCC"]["judged"]["people"]["triplets"] == 2
    assert results["systems"]["others"]["triplets"]["mood"]["triplets"] < COUNT


def test_the_same_twice(outcome, finished: Path, data) -> None:
    """Deterministic: measured again, and with other batches."""
    results, _ = outcome
    restored = restore_for_inference(finished)
    compared = systems.of_run(finished, restored, data, batch_size=16, untrained=True)
    again = compare(compared, data["test"], data["train"], config=restored[0], count=COUNT)
    for name in ("triplets", "retrieval", "tagging", "collapse"):
        expected = results["systems"][finished.name][name]
        found = json.loads(json.dumps(again["systems"][finished.name][name]))
        assert jax.tree.structure(found) == jax.tree.structure(expected)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            assert one == other or one == pytest.approx(other, abs=1e-5)


def test_the_page_stands_alone_and_shows_every_system(outcome) -> None:
    results, out = outcome
    page = (out / "report.html").read_text()
    # Namespaces of SVG are names, not addresses that a browser would ask for.
    addresses = re.findall(r"(?:src|href)=.(?!#)[^ >]+", page.replace("xlink:href", "xlink"))
    assert not addresses
    assert page.count("<svg") == 3, "two leakages and curves; two dimensions make no polygon"
    for name in results["systems"]:
        assert name in page
        assert name in (out / "report.md").read_text()
    again = out / "again"
    again.mkdir()
    reporting.write(reporting.merged([results, results]), again)
    assert (again / "report.html").read_text() == page


def rows_of(page: str) -> list[list[str]]:
    """The cells of all tables of a report in HTML."""
    rows = re.findall(r"<tr>(<td>.*?)</tr>", page)
    return [[html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in rows]


def published_rows(folder: Path) -> list[list[str]]:
    """The rows of the papers' numbers on the page, which the Markdown must have too."""

    def published(rows: list[list[str]]) -> list[list[str]]:
        return [row for row in rows if re.search(r": [AB]\b", row[0])]

    lines = (folder / "report.md").read_text().splitlines()
    in_markdown = [line[2:-2].split(" | ") for line in lines if line.startswith("| ")]
    on_page = published(rows_of((folder / "report.html").read_text()))
    assert published(in_markdown) == on_page
    return on_page


def test_the_papers_numbers_stand_beside_runs_of_their_rows(
    outcome, finished: Path, classifier: Path, tmp_path: Path
) -> None:
    """B's by the run's name, A's beside dim-sim's triplets; each with its source."""
    results, out = outcome
    people = results["judged_triplets"]["people"]
    results = results | {"judged_triplets": {"people": people | {"form": "dim-sim"}}}
    ours = results["systems"]
    systems = {
        "triplet_disentangled": ours[finished.name],
        "triplet": ours[classifier.name],  # undivided: in B's Table 3 only as a whole
        "mine": ours["MFCC"],
    }
    reporting.write(results | {"systems": systems}, tmp_path)
    of_a = [
        ["baseline: 4 dimensions, single input, 256: A Table 1, 426 dim-sim triplets", "0.8192"],
        ["4 dimensions, three inputs, 256: A Table 1, 426 dim-sim triplets", "0.8286"],
        ["6 dimensions, single input, 258: A Table 1, 426 dim-sim triplets", "0.7934"],
        ["6 dimensions, single input, 384: A Table 1, 426 dim-sim triplets", "0.8169"],
        ["6 dimensions, three inputs, 384: A Table 1, 426 dim-sim triplets", "0.8380"],
        ["OpenL3, 512: A Table 1, 426 dim-sim triplets", "0.7958"],
    ]
    disentangled = ["0.365", "0.505", "0.641", "0.760", "0.825", "0.964"]
    undivided = ["0.318", "0.452", "0.599", "0.730", "0.815", "0.957"]
    assert published_rows(tmp_path) == [
        ["triplet_disentangled: B Table 3, on the MSD", "0.790", "0.785", "n/a"],
        ["triplet_disentangled: B Table 3, on the MSD", "0.762", "0.744", "n/a"],
        ["triplet: B Table 3, on the MSD", "0.771", "0.725", "n/a"],
        ["triplet_disentangled: B Table 4, dim-sim", "0.820"],
        ["triplet: B Table 4, dim-sim", "0.820"],
        *of_a,
        ["triplet_disentangled: B, on the MSD", *disentangled],
        ["triplet: B, on the MSD", *undivided],
    ]
    page = (tmp_path / "report.html").read_text()
    firsts = [row[0] for row in rows_of(page)]
    assert firsts[firsts.index("triplet: B, on the MSD") - 1] == "triplet"
    judged_alone = [row for row in rows_of(page) if row[0] in ("genre", "mood") and len(row) == 3]
    assert sorted((row[0], row[2]) for row in judged_alone) == [
        ("genre", "0.7535"),
        ("mood", "0.7535"),
    ]
    for text in (page, (tmp_path / "report.md").read_text()):
        assert "A Table 2" in text
        assert "They come from the Million Song Dataset" in text

    assert published_rows(out) == [], "runs of other names, and triplets that are not dim-sim's"
    reporting.write(results | {"systems": {"mine": ours["MFCC"]}}, tmp_path)
    assert published_rows(tmp_path) == of_a


def test_reports_of_different_data_are_not_merged(outcome) -> None:
    results, _ = outcome
    other = results | {"data": results["data"] | {"tracks": 99}}
    with pytest.raises(ValueError, match="differ in data"):
        reporting.merged([results, other])
    other = results | {"excerpts": results["excerpts"] | {"seconds": 30.0}}
    with pytest.raises(ValueError, match=r"differ in excerpts: of 3 s and 30 s, of 4 and 4 tracks"):
        reporting.merged([results, other])


def test_older_evaluations_have_no_excerpts(outcome, tmp_path: Path) -> None:
    """They are shown without, and beside newer ones without a number."""
    results, _ = outcome
    lacking = ("excerpts", "excerpt_differences")
    older = {name: value for name, value in results.items() if name not in lacking}
    older["systems"] = {
        f"{name} then": {field: value for field, value in system.items() if field != "excerpts"}
        for name, system in results["systems"].items()
    }
    reporting.write(older, tmp_path)
    assert "R@1 album" not in (tmp_path / "report.md").read_text()
    reporting.write(reporting.merged([results, older]), tmp_path)
    assert "| MFCC then | n/a | n/a | n/a | n/a |" in (tmp_path / "report.md").read_text()


def test_older_evaluations_searched_in_all_dimensions_alone(outcome, tmp_path: Path) -> None:
    """What they lack is no table, or beside newer ones a row without a number."""
    results, _ = outcome
    older = json.loads(json.dumps(results))
    older["systems"] = {f"{name} then": system for name, system in older["systems"].items()}
    for system in older["systems"].values():
        if system["excerpts"]:
            del system["excerpts"]["spaces"]["search by tags"]
    reporting.write(older, tmp_path)
    report = (tmp_path / "report.md").read_text()
    assert "all dimensions weighted equally" in report and "without tempo and key" not in report
    reporting.write(reporting.merged([results, older]), tmp_path)
    _, table = (tmp_path / "report.md").read_text().split("search, without tempo and key")
    assert "| MFCC then | n/a | n/a | n/a | n/a |" in table


def test_tracks_that_are_all_too_short_are_said(outcome) -> None:
    results, _ = outcome
    none = results | {"excerpts": {"seconds": 30.0, "tracks": 0, "left_out": 4, "cut": {}}}
    (section,) = retrieval_section(none)
    assert section.text.startswith("All 4 tracks are too short for two excerpts of 2 segments each")


def test_a_collapsed_sub_space_is_warned_of(outcome) -> None:
    """Four tracks differ in three directions at most."""
    report = (outcome[1] / "report.md").read_text()
    (line,) = [line for line in report.splitlines() if "few directions are used" in line]
    for name, system in outcome[0]["systems"].items():
        for part, each in system["collapse"].items():
            said = f"{part} of {name} ({each['effective_rank']:.1f})" in line
            assert said == (each["effective_rank"] < 3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"nowhere": np.zeros(3)}, "has none of the 4 tracks"),
        ({"{id}": np.array([1.0, np.nan])}, "'{id}' has values that are not finite"),
        ({"{id}": np.zeros((2, 2))}, r"'{id}' has shape \(2, 2\)"),
        ({"{id}": np.array(["a"])}, "expected one vector of numbers"),
        ({"{id}": np.zeros(2), "{other}": np.zeros(3)}, "'{other}' has 3 values, expected 2"),
        ({"{id}#2": np.ones(2)}, "has '{id}#2', but '{id}#1' is missing"),
        ({"{id}#1": np.ones(2), "{id}#2": np.ones(3)}, "'{id}#2' has 3 values, expected 2"),
        ({"{id}#1": np.array([np.inf])}, "'{id}#1' has values that are not finite"),
    ],
)
def test_bad_embeddings_are_refused(arrays, message: str, data, tmp_path: Path) -> None:
    first, second, *_ = data["test"].track_ids
    names = {"{id}": first, "{other}": second}
    path = tmp_path / "vectors.npz"
    for short, full in names.items():
        arrays = {name.replace(short, full): values for name, values in arrays.items()}
    np.savez(path, **arrays)
    pattern = message.replace("{id}", first).replace("{other}", second)
    with pytest.raises(ValueError, match=pattern) as error:
        systems.external(path, data)
    assert str(error.value).startswith(str(path))


def test_judgements_of_unknown_tracks_are_refused(data, tmp_path: Path) -> None:
    path = tmp_path / "strangers.csv"
    path.write_text("anchor,positive,negative\nx,y,z\n")
    with pytest.raises(
        ValueError, match=r"none of its 1 triplets .* its first is \('x', 'y', 'z'\)"
    ):
        compare(
            [],
            data["test"],
            data["train"],
            config=get_config(),
            count=5,
            judgements=[judgements.read(path)],
        )


def test_a_missing_checkpoint_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^error: .*has no checkpoint"):
        evaluate.main([f"--checkpoint={tmp_path}"])
    with pytest.raises(SystemExit, match=r"^error: --checkpoint is empty, expected"):
        evaluate.main(["--checkpoint="])


def test_what_only_a_run_could_tell_is_asked_for(exported: Path, data, tmp_path: Path) -> None:
    given, folder = f"--model={exported}", data["test"].directory
    with pytest.raises(SystemExit, match=r"^error: --data_dir is missing, expected a folder"):
        evaluate.main([given, f"--out={tmp_path}"])
    with pytest.raises(SystemExit, match=r"^error: --out is missing, expected a folder"):
        evaluate.main([given, f"--data_dir={folder}"])
    with pytest.raises(SystemExit, match=r"^error: --excerpt is 2, expected at least 3 s"):
        evaluate.main([given, f"--data_dir={folder}", f"--out={tmp_path}", "--excerpt=2"])
    other = tmp_path / "other.npz"
    with np.load(exported) as file:
        arrays = dict(file)
    metadata = json.loads(bytes(arrays["metadata"]))
    metadata["feature_version"] = 99
    arrays["metadata"] = np.frombuffer(json.dumps(metadata).encode(), np.uint8)
    np.savez(other, **arrays)
    with pytest.raises(SystemExit, match=r"other.npz: feature_version is 99, expected \d+ as in"):
        evaluate.main([f"--model={other}", f"--data_dir={folder}", f"--out={tmp_path}"])


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--model=a/music.npz,b/music.npz"], "music"),
        (["--model=a/model.npz,b/c/../../a/model.npz"], "a/model"),
        (["--model=a/openl3.npz", "--embeddings=openl3.npz"], "openl3"),
        (["--model=a/one.npz", "--embeddings=MFCC.npz"], "MFCC"),
        (["--checkpoint=runs/a,other/a/checkpoints"], "a"),
        (["--model=a/one.npz", "--estimates=one.csv"], "one"),
        (["--model=a/one.npz", "--estimates=a/x.csv,b/x.csv"], "x"),
        (["--model=a/one.npz", "--estimates=features.csv"], "features"),
        (["--model=a/one.npz", "--estimates=librosa.feature.tempo.csv"], "librosa.feature.tempo"),
    ],
)
def test_one_name_for_two_systems_is_refused_before_any_work(options: list[str], name: str) -> None:
    """None of these files exists, so nothing has been read when the names are compared."""
    with pytest.raises(SystemExit, match=rf"^error: .* and .* would both be called '{name}' in"):
        evaluate.main([*options, "--data_dir=none", "--out=none"])


def test_estimates_of_other_tracks_are_refused(exported: Path, data, tmp_path: Path) -> None:
    """In one line, before anything is embedded."""
    path = tmp_path / "essentia.csv"
    path.write_text("track_id,tempo,key\nstranger,120,\n")
    given = [f"--model={exported}", f"--data_dir={data['test'].directory}", f"--out={tmp_path}"]
    with pytest.raises(SystemExit, match=r"^error: .*essentia.csv: has none of the \d tracks of"):
        evaluate.main([*given, f"--estimates={path}"])
    path.write_text("track_id,tempo,key\nstranger,120,Q\n")
    with pytest.raises(SystemExit, match=r"^error: .*essentia.csv, line 2: key is 'Q', expected"):
        evaluate.main([*given, f"--estimates={path}"])


def test_a_model_alone_without_excerpts(exported: Path, data, tmp_path: Path) -> None:
    evaluate.main(
        [
            f"--model={exported}",
            f"--data_dir={data['test'].directory}",
            f"--out={tmp_path}",
            f"--triplets_per_dimension={COUNT}",
            "--split=train",
            "--excerpt=0",
        ]
    )
    results = json.loads((tmp_path / "evaluation.json").read_text())
    assert list(results["systems"]) == ["shipped", "MFCC"]
    assert results["excerpts"] is results["systems"]["shipped"]["excerpts"] is None
    assert "R@1 album" not in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("method", ["proxy", "classification"])
def test_every_dimension_is_classified_in_its_own_slice(method: str) -> None:
    """Against a loop; JAX gives dictionaries back in the order of their names."""
    data = fake_data(3)
    config = get_config()
    config.dimensions = ("mood", "genre", "era")
    config.model.embedding_size = 12
    config.loss.method = method
    random = np.random.default_rng(2)
    segments, track = random.normal(size=(7, 12)), np.array([0, 0, 0, 1, 2, 2, 2])
    length = 12 if method == "proxy" else 4
    classes = {name: random.normal(size=(6, length)) for name in sorted(config.dimensions)}
    state = train_step.State(0, {"classes": classes}, {}, ())
    found = systems._tag_scores(config, state, segments, track, data)
    for number, name in enumerate(config.dimensions):
        own = slice(4 * number, 4 * number + 4)
        expected = np.zeros((3, 6))
        for segment, number_of_track in zip(segments[:, own], track, strict=True):
            for tag, vector in enumerate(classes[name]):
                vector = vector[own] if method == "proxy" else vector
                score = segment @ vector / np.sqrt(segment @ segment)
                expected[number_of_track, tag] += score / np.sum(track == number_of_track)
        np.testing.assert_allclose(found[name], expected, rtol=1e-9)


def test_the_batch_need_not_divide_by_the_devices(finished: Path, data) -> None:
    config, params, batch_stats, _ = restore_for_inference(finished)
    state = train_step.State(jnp.zeros((), jnp.int32), params, batch_stats, ())
    embed = functools.partial(track_embeddings.embedder(config), state)
    assert jax.device_count() == 8
    expected, _ = track_embeddings.segment_embeddings(data["train"], embed, batch_size=8)
    found, _ = track_embeddings.segment_embeddings(data["train"], embed, batch_size=5)
    assert len(expected) == 8
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_report_of_several_evaluations(outcome, tmp_path: Path, capsys) -> None:
    _, folder = outcome
    file = str(folder / "evaluation.json")
    report.main([file, file, f"--out={tmp_path / 'both'}"])
    printed = capsys.readouterr().out.splitlines()
    names = ("report.html", "report.md")
    assert printed == [str(tmp_path / "both" / name) for name in names]
    for name in names:
        assert (tmp_path / "both" / name).read_text() == (folder / name).read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not an evaluation (Expecting"),
        ("[]", "not an evaluation (list, expected an object)"),
        ('{"data": {}}', "not a complete evaluation: differences, dimensions, "),
    ],
)
def test_what_is_no_evaluation_is_one_line(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "evaluation.json"
    file.write_text(content)
    with pytest.raises(SystemExit) as stopped:
        report.main([str(file), f"--out={tmp_path / 'report'}"])
    assert str(stopped.value.code).startswith(f"error: {file}: {message}")
    assert not (tmp_path / "report").exists()


def test_an_evaluation_that_lacks_a_part_is_one_line(outcome, tmp_path: Path) -> None:
    results, _ = outcome
    name = next(iter(results["systems"]))
    system = {key: value for key, value in results["systems"][name].items() if key != "collapse"}
    file = tmp_path / "evaluation.json"
    file.write_text(json.dumps(results | {"systems": {name: system}}))
    with pytest.raises(SystemExit, match=r"not a complete evaluation: 'collapse' is missing"):
        report.main([str(file), f"--out={tmp_path}"])
