"""What a report says about the retrieval of excerpts."""

from collections.abc import Iterator, Mapping
from typing import Any

from jaxsim.evaluation.excerpt_retrieval import MEASURES, STRENGTHS
from jaxsim.evaluation.excerpts import LEAST_SEGMENTS
from jaxsim.evaluation.parts import (
    ABSENT,
    VERDICTS,
    Results,
    Section,
    Table,
    interval,
    verdicts,
    with_remarks,
)

SPACES = {
    "cosine": "Cosine of the embeddings as they are",
    "z-scored": "Cosine after standardising every column over the excerpts",
    "whitened": "Cosine after whitening",
    "search": "The score of the library's search, all dimensions weighted equally",
    "search by tags": "The score of the library's search, without tempo and key",
}


def retrieval_section(results: Results) -> Iterator[Section]:
    """One table per space; nothing for an evaluation without excerpts."""
    cut = results.get("excerpts")  # absent from older evaluations
    if not cut:
        return
    if not cut["tracks"]:
        text = (
            f"All {cut['left_out']} tracks are too short for two excerpts of {LEAST_SEGMENTS} "
            "segments each; a smaller --excerpt, of one segment, may do."
        )
        yield Section("Retrieval", text)
        return
    tables = []
    measured = [each["spaces"] for each in _measured(results["systems"])]
    for space, title in SPACES.items():
        if not any(space in spaces for spaces in measured):  # older evaluations have fewer
            continue
        rows = [
            [*_named(name, system, space), *_scores(system, space)]
            for name, system in results["systems"].items()
        ]
        headings = ["system", *(["whitening"] if space == "whitened" else []), *MEASURES]
        tables.append((title, Table(headings, rows)))
    if (differences := _differences(results)).rows:
        tables.append(("Differences of paired queries (95 %)", differences))
    yield Section("Retrieval", " ".join(_text(cut, results["systems"])), tables)


def _differences(results: Results) -> Table:
    """Where the first system finds better or worse than each other one, in every space."""
    first = next(iter(results["systems"]))
    differences = results.get("excerpt_differences", {})  # absent from older evaluations
    rows = [
        [other, space, *verdicts(measures)]
        for other, spaces in differences.items()
        for space, measures in spaces.items()
        if any(measures.values())
    ]
    return Table([f"{first}, against", "space", *VERDICTS], rows)


def _named(name: str, system: Mapping[str, Any], space: str) -> list[str]:
    found = system.get("excerpts")
    if space != "whitened":
        return [with_remarks(name, system)]
    how = f"{found['strength']:g}, {found['fitted_to']}" if found else ABSENT
    return [with_remarks(name, system), how]


def _scores(system: Mapping[str, Any], space: str) -> list[str]:
    found = system.get("excerpts")
    scores = found["spaces"].get(space) if found else None
    return [interval(scores[name]) if scores else ABSENT for name in MEASURES]


def _text(cut: Mapping[str, Any], systems: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"Two excerpts of each of {cut['tracks']} tracks as queries, {cut['seconds']:g} s long or "
        "half the track, around 1/4 and 3/4 of it, each embedded as a recording of its own."
    )
    if cut["left_out"]:
        yield f"{cut['left_out']} tracks are too short and left out."
    yield (
        "track: the share of other tracks' excerpts that are less near than the track's other one "
        "(chance 0.5). album: the share of pairs in which an excerpt of another track of the same "
        "group is nearer than one of another group (chance 0.5). R@1 track: the nearest excerpt is "
        "of the same track. R@1 album: the nearest excerpt of another track is of the same group. "
        "Ties share. 95 % intervals over groups."
    )
    if left := {each["without_album"] for each in _measured(systems)} - {0}:
        most = max(left)
        yield (
            f"{most} queries have no answer for the album, because their group has no other track"
            + (" (in the system that has most of them)." if len(left) > 1 else ".")
        )
    yield (
        "Whitening: principal components divided by their deviation plus a strength times the "
        f"largest deviation. The strength is the one of {', '.join(map(str, STRENGTHS))} with the "
        "best mean of the four measures, chosen on these very excerpts. In the search's score the "
        "sub-spaces' cosines are standardised over pairs of these excerpts; for an undivided space "
        "it ranks as the cosine does. The last table leaves out the sub-spaces of tempo and key, "
        "which vary within an album; an undivided space is taken whole there."
    )


def _measured(systems: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What was measured of the systems that have excerpts."""
    return [system["excerpts"] for system in systems.values() if system.get("excerpts")]
