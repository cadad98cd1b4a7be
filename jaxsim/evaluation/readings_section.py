"""What a report says about what is heard: tempo, key and tags."""

from collections.abc import Iterator, Mapping
from typing import Any

from jaxsim.evaluation.parts import ABSENT, Results, Section, Table, interval
from jaxsim.evaluation.reading_metrics import BINS, KEY_MEASURES, TEMPO_MEASURES
from jaxsim.evaluation.readings import BY_BASELINES, BY_FEATURES, ESTIMATED, GIVEN

TITLE = "What is heard"
MEASURES = {"tempo": TEMPO_MEASURES, "key": KEY_MEASURES}
SURER = {"tempo": "octaves, surer half", "key": "exact, surer half"}
TAG_MEASURES = ("AUC", "average precision", "calibration error")
READERS = {
    "tempo": {BY_FEATURES: "features alone", BY_BASELINES: "librosa.feature.tempo"},
    "key": {BY_FEATURES: "features (shown)", BY_BASELINES: "Krumhansl's profiles on mean CENS"},
}
# Names of these readers, here and in `evaluation.json`, which no other reader may have.
RESERVED = {name for readers in READERS.values() for pair in readers.items() for name in pair}
TRUTHS = {
    "tempo": {GIVEN: "against given tempi", ESTIMATED: "agreement with madmom's estimates"},
    "key": {GIVEN: "against given keys", ESTIMATED: "agreement with madmom's estimates"},
    "tags": {GIVEN: "against given tags", ESTIMATED: "agreement with MusiCNN's estimates"},
}


def readings_section(results: Results) -> Iterator[Section]:
    """One table per kind and truth; nothing for an evaluation without readings."""
    tables = [*reading_tables(results), *_tag_tables(results)]
    if not tables:
        return
    text = (
        "Tempo and key are read from the onset envelope and CENS by weights that come with jaxsim; "
        "an exported model with readings adds its tempo sub-space, and its tags are calibrated "
        "probabilities. Accuracy 1: within 4 % of the tempo; accuracy 2: also at 2, 3, 1/2 and 1/3 "
        "times the tempo; octaves: at any metrical level. MIREX: 1 for the key, 0.5 a fifth above, "
        "0.3 for the relative and 0.2 for the parallel key. AUC and average precision are means "
        f"over tags, the calibration error is the expected one in {BINS} bins. 95 % intervals over "
        "groups."
    )
    if any(ESTIMATED in each for each in results["readings"].values()):
        text += (
            " Where the data set has only estimates, there is no truth: a score is then the share "
            "that agrees, and the surer half are the tracks of whose tempo or key madmom is surer."
        )
    if results.get("estimates"):  # absent from older evaluations
        text += (
            f" {', '.join(results['estimates'])}: estimates from files; a track of which a file "
            "has none counts as wrong."
        )
    yield Section(TITLE, text, tables)


def reading_tables(results: Results) -> Iterator[tuple[str, Table]]:
    """Tempo and key, by truth: the baselines, what every model adds, and other systems."""
    for what, truths in (results.get("readings") or {}).items():  # absent from older evaluations
        for truth, measured in truths.items():
            named = {READERS[what][name]: each for name, each in measured["readers"].items()}
            tracks = measured["tracks"]
            for system, own in _systems(results):
                added = own.get(what, {}).get(truth, {})
                named |= {f"{system}: {reader}": each for reader, each in added.items()}
            for name, own in results.get("estimates", {}).items():
                if each := own[what].get(truth):
                    named[_with_coverage(name, each["covered"], tracks)] = each["scores"]
            measures = [*MEASURES[what], *([SURER[what]] if truth == ESTIMATED else [])]
            rows = [
                [name, *(interval(each[measure]) for measure in measures)]
                for name, each in named.items()
            ]
            title = f"{what.capitalize()}, {TRUTHS[what][truth]}, {tracks} tracks"
            yield title, Table(["read from", *measures], rows)


def _with_coverage(name: str, covered: int, tracks: int) -> str:
    return name if covered == tracks else f"{name} (of {covered} tracks)"


def _tag_tables(results: Results) -> Iterator[tuple[str, Table]]:
    for truth, title in TRUTHS["tags"].items():
        rows = [
            [system, dimension, str(scores.get("tracks", ABSENT))]
            + [interval(scores.get(measure)) for measure in TAG_MEASURES]
            for system, own in _systems(results)
            for dimension, scores in own["tags"].get(truth, {}).items()
        ]
        if rows:
            headings = ["model", "dimension", "tracks", *TAG_MEASURES]
            yield f"Tags, {title}", Table(headings, rows)


def _systems(results: Results) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, system in results["systems"].items():
        if own := system.get("readings"):
            yield name, own
