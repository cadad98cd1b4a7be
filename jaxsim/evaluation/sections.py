"""What a report says about an evaluation, section by section: text, tables and figures."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import yaml

from jaxsim.evaluation import figures, published
from jaxsim.evaluation.judgements import AGREEMENT, DIM_SIM
from jaxsim.evaluation.metrics import KS
from jaxsim.evaluation.parts import (
    ABSENT,
    RAW,
    VERDICTS,
    Results,
    Section,
    Table,
    interval,
    verdicts,
    with_remarks,
)
from jaxsim.evaluation.readings_section import readings_section
from jaxsim.evaluation.retrieval_section import retrieval_section
from jaxsim.evaluation.training_time import reference_of, seconds_per_step, time_ratios
from jaxsim.objective.terms import LOW_RANK

TOP_SUBSETS = 6  # A Table 2


def sections(results: Results) -> Iterator[Section]:
    """The whole report, in the order of the page."""
    yield triplet_section(results)
    if results["judged_triplets"]:
        yield _judged_section(results)
    yield from _leakage_section(results)
    yield from retrieval_section(results)
    yield _tagging_section(results)
    yield from readings_section(results)
    yield from _subset_section(results)
    yield _collapse_section(results)
    yield from _map_section(results)
    yield from _training_section(results)


def triplet_section(results: Results) -> Section:
    """Own sub-space and whole space per dimension, and which system beats which."""
    dimensions, systems = results["dimensions"], results["systems"]
    tables = []
    for space, title in (
        ("own", "Own sub-space (or the whole, undivided space)"),
        ("whole", "Whole space"),
    ):
        rows = []
        for name, system in systems.items():
            scores = [system["triplets"][dimension][space] for dimension in dimensions]
            known = [score["value"] for score in scores if score]
            mean = f"{np.mean(known):.3f}" if len(known) == len(scores) else ABSENT
            rows.append([with_remarks(name, system), *map(interval, scores), mean])
        rows += _published_triplets(systems, dimensions, space)
        tables.append((title, Table(["system", *dimensions, "mean"], rows)))
    if (surer := _surer(systems, dimensions)).rows:
        tables.append(
            (
                "Tempo and key where madmom is surer: triplets of three tracks of the surer half",
                surer,
            )
        )
    by_dimension = {
        name: {
            dimension: system["triplets"][dimension]["own"]["value"]
            for dimension in dimensions
            if system["triplets"][dimension]["own"]
        }
        for name, system in systems.items()
    }
    text = (
        f"Share of triplets in which the similar track is nearer than the dissimilar one; chance "
        f"is 0.5. {results['triplets_per_dimension']} triplets per dimension, each from three "
        f"different groups; 95 % intervals over groups of tracks. Distances are Euclidean, between "
        "sub-spaces (or undivided vectors) at length 1."
    )
    if any(system.get("raw") for system in systems.values()):
        text += (
            f" A system with {RAW} was trained without normalisation, and nothing of it is "
            "normalised in any section."
        )
    if (seeds := max(system.get("seeds", 1) for system in systems.values())) > 1:
        text += (
            f" Untrained networks are {seeds}, of different seeds, with batch statistics of "
            "training segments: their triplet scores are means, intervals are over groups and "
            "seeds, and the other sections show the first of them."
        )
    if (comparisons := _comparisons(results)).rows:
        tables.append(("Differences of paired triplets (95 %, own sub-space)", comparisons))
    shown = dict(list(by_dimension.items())[: len(figures.COLOURS)])
    chart = figures.kiviat(shown) if len(dimensions) > 2 else None
    caption = "Score of every dimension's own sub-space on its own triplets; dotted: chance."
    charts = [(chart, caption)] if chart else []
    return Section("Triplet prediction", text, tables, [*charts, *_judged_charts(results)])


def _surer(systems, dimensions) -> Table:
    """Tempo and key by those labels of which their estimator is surer."""
    rows = []
    for dimension in dimensions:
        for name, system in systems.items():
            if not (scores := system["triplets"][dimension].get("surer")):  # or an older evaluation
                continue
            others = [v for n, v in scores["by_sub_space"].items() if n != dimension]
            best = f"{max(others):.3f}" if others else ABSENT
            measured = interval(scores["own"]), interval(scores["whole"])
            triplets = str(scores["triplets"])
            rows.append([dimension, with_remarks(name, system), triplets, *measured, best])
    headings = ["dimension", "system", "triplets", "own sub-space", "whole space", "best other"]
    return Table(headings, rows)


def _judged_charts(results: Results) -> Iterator[tuple[str, str]]:
    """A Fig. 3: every single sub-space on the same judged triplets, with A's own where they are."""
    for which, judged in results["judged_triplets"].items():
        scores = {
            name: {
                each["subset"][0]: each["value"]
                for each in system["subsets"][which]
                if len(each["subset"]) == 1
            }
            for name, system in results["systems"].items()
            if system["subsets"] and "untrained" not in name
        }
        scores = dict(list(scores.items())[: len(figures.COLOURS) - 1])
        dimensions = {dimension for own in scores.values() for dimension in own}
        if len(dimensions) < 3:
            continue
        if _is_the_papers_set(judged):
            paper = published.A_SINGLE_DIMENSION
            scores["A Table 2"] = {name: paper[name] for name in paper if name in dimensions}
        caption = f"Score of every single sub-space on {which} (A Fig. 3); dotted: chance."
        yield figures.kiviat(scores), caption


def _comparisons(results: Results) -> Table:
    """Where the first system is better or worse than each other one."""
    first = next(iter(results["systems"]))
    rows = []
    for other, sets in results["differences"].items():
        own = {dimension: sets[dimension]["own"] for dimension in results["dimensions"]}
        if any(own.values()):
            rows.append([other, *verdicts(own)])
    return Table([f"{first}, against", *VERDICTS], rows)


def _published_triplets(systems, dimensions, space: str) -> Iterator[list[str]]:
    """B Table 3: `space` is "own" or "whole"."""
    for name in systems:
        if name in published.B_ROWS and (scores := getattr(published.B_ROWS[name], space)):
            values = [f"{scores[d]:.3f}" if d in scores else ABSENT for d in dimensions]
            yield [f"{name}: B Table 3, on the MSD", *values, ABSENT]


def _judged_section(results: Results) -> Section:
    sets = results["judged_triplets"]
    published_sets = [_is_the_papers_set(each) for each in sets.values()]

    def beside(score: str) -> list[str]:
        return [score if same else ABSENT for same in published_sets]

    rows = []
    for name, system in results["systems"].items():
        scores = (interval(system["judged"][each]["whole"]) for each in sets)
        rows.append([with_remarks(name, system), *scores])
        if name in published.B_ROWS and any(published_sets):
            values = beside(f"{published.B_ROWS[name].human:.3f}")
            rows.append([f"{name}: B Table 4, dim-sim", *values])
    if any(published_sets):
        for title, score in published.A_TRIPLET_SCORE.values():
            source = f"A Table 1, {published.A_TRIPLETS} dim-sim triplets"
            rows.append([f"{title}: {source}", *beside(f"{score:.4f}")])
    coverage = "; ".join(
        f"{name}: {each['used']} of {each['of']} triplets have all their tracks here"
        for name, each in sets.items()
    )
    fewest = min(each["used"] for each in sets.values())
    text = f"{coverage}. One of {fewest} triplets counts {100 / fewest:.2f} points."
    return Section("Triplets that people judged", text, [("", Table(["system", *sets], rows))])


def _is_the_papers_set(judged: Mapping[str, Any]) -> bool:
    """Whether these are dim-sim's triplets with high agreement, on which the papers measured."""
    # Older evaluations say neither the form nor the agreement of a file.
    return judged.get("form") == DIM_SIM and judged["agreement"] >= AGREEMENT


def _leakage_section(results: Results) -> Iterator[Section]:
    dimensions = results["dimensions"]
    shown = []
    for name, system in results["systems"].items():
        if not system["dimensions"] or "untrained" in name:
            continue
        matrix = np.array(
            [
                [
                    system["triplets"][dimension]["by_sub_space"].get(sub_space, np.nan)
                    for dimension in dimensions
                ]
                for sub_space in system["dimensions"]
            ]
        )
        best = [
            dimension
            for column, dimension in enumerate(dimensions)
            if dimension in system["dimensions"]
            and system["dimensions"][int(np.argmax(matrix[:, column]))] == dimension
        ]
        common = [d for d in dimensions if d in system["dimensions"]]
        caption = f"{name}: own sub-space is best in {len(best)} of {len(common)}."
        shown.append((figures.leakage(matrix, system["dimensions"], dimensions), caption))
    if shown:
        text = (
            "How well sub-space i predicts the triplets of dimension j. The diagonal should win; "
            "0.5 elsewhere means that the sub-spaces are disentangled."
        )
        yield Section("Leakage between sub-spaces", text, figures=shown)


def _tagging_section(results: Results) -> Section:
    rows = []
    for name, system in results["systems"].items():
        recall = system["retrieval"].get("all tags", {})
        auc = system["tagging"].get("all tags") or next(iter(system["tagging"].values()), None)
        rows.append(
            [
                with_remarks(name, system),
                *(interval(recall.get(f"R@{k}")) for k in KS),
                interval(auc and auc["auc"]),
                interval(system["track_triplets"]),
            ]
        )
        if name in published.B_ROWS:
            paper = published.B_ROWS[name]
            values = (f"{value:.3f}" for value in (*paper.recall, paper.auc, paper.track))
            rows.append([f"{name}: B, on the MSD", *values])
    headings = ["system", *(f"R@{k}" for k in KS), "tagging AUC", "track triplets"]
    by_dimension = []
    for name, system in results["systems"].items():
        for dimension, auc in system["tagging"].items():
            if dimension != "all tags":
                recall = system["retrieval"][dimension]
                by_dimension.append(
                    [
                        name,
                        dimension,
                        *(interval(recall[f"R@{k}"]) for k in KS),
                        f"{interval(auc['auc'])} ({auc['by']})",
                    ]
                )
    text = (
        "R@K: share of a track's tags that its K nearest tracks have between them (B Eq. 12), "
        "without tracks of its own group; whole space and all tags. AUC: averaged over tags "
        "(macro); from the classifier where there is one, else from distances to prototypes, the "
        "mean embeddings of the tags' training tracks. Track triplets: two segments of one track "
        "against one of another, whole space."
    )
    detail = Table(["system", "dimension", *(f"R@{k}" for k in KS), "tagging AUC"], by_dimension)
    return Section(
        "Retrieval and tagging",
        text,
        [("All tags", Table(headings, rows)), ("Each dimension in its own sub-space", detail)],
    )


def _subset_section(results: Results) -> Iterator[Section]:
    tables = []
    for name, system in results["systems"].items():
        if "untrained" in name:
            continue
        for which, subsets in system["subsets"].items():
            best = sorted(subsets, key=lambda each: -each["value"])[:TOP_SUBSETS]
            single = [each for each in subsets if len(each["subset"]) == 1 and each not in best]
            judged = results["judged_triplets"].get(which)
            beside = judged is not None and _is_the_papers_set(judged)
            rows = []
            for each in [*best, *single]:
                names = each["subset"]
                paper = published.A_SINGLE_DIMENSION.get(names[0]) if len(names) == 1 else None
                rows.append(
                    [
                        " + ".join(names),
                        interval(each["interval"]),
                        *([f"{paper:.4f}" if paper else ABSENT] if beside else []),
                    ]
                )
            headings = ["sub-spaces", "score", *(["A Table 2"] if beside else [])]
            tables.append((f"{name}, {which}", Table(headings, rows)))
    if tables:
        text = (
            f"The best {TOP_SUBSETS} of all subsets of sub-spaces, and the single ones, with all "
            "other sub-spaces switched off (A Table 2)."
        )
        yield Section("Combinations of sub-spaces", text, tables)


def _collapse_section(results: Results) -> Section:
    rows = [
        [name, part, f"{each['spread']:.3f}", f"{each['effective_rank']:.1f} of {each['size']}"]
        for name, system in results["systems"].items()
        for part, each in system["collapse"].items()
    ]
    text = (
        "Spread: 1 minus the squared length of the mean unit vector; 0 = all tracks at one point. "
        "Effective rank: the number of directions in which the tracks differ, (sum of l)^2 / sum "
        "of l^2 over the eigenvalues l of their covariance."
    )
    if low := [
        f"{part} of {name} ({each['effective_rank']:.1f})"
        for name, system in results["systems"].items()
        for part, each in system["collapse"].items()
        if each["effective_rank"] < LOW_RANK
    ]:
        text += (
            f" Warning: few directions are used, with an effective rank below {LOW_RANK:.0f}: "
            f"{', '.join(low)}."
        )
    table = Table(["system", "sub-space", "spread", "effective rank"], rows)
    return Section("Collapse", text, [("", table)])


def _map_section(results: Results) -> Iterator[Section]:
    shown = []
    for name, system in results["systems"].items():
        points = system["map"].get("points", {})
        for dimension in points:
            if dimension != "whole space" and any(system["map"]["labels"][dimension]):
                pair = {space: points[space] for space in ("whole space", dimension)}
                svg = figures.maps(pair, system["map"]["labels"][dimension])
                shown.append((svg, f"{name}: the two most common tags of {dimension}."))
    if shown:
        text = (
            "t-SNE of the whole space and of one sub-space, two of its tags highlighted (B Fig. 3)."
        )
        yield Section("Maps", text, figures=shown)


def _training_section(results: Results) -> Iterator[Section]:
    runs = {name: system for name, system in results["systems"].items() if system.get("config")}
    shown, folded, rows = [], [], []
    ratios = time_ratios(runs)
    for name, system in runs.items():
        config, log = system["config"], system["log"]
        dimensions = config["dimensions"]
        steps = [row for row in log if "loss" in row]
        seconds = seconds_per_step(config, log)
        mines = config["loss"]["method"] == "triplet"
        if not mines:
            log = [{field: row[field] for field in row if field != "active"} for row in log]
        active = steps[-1]["active"] if steps and mines else {}
        if steps:
            shown.append((figures.curves(log, dimensions), name))
        times = [f"{ratios[name]:.2f}" if name in ratios else ABSENT]
        times += [f"{published.B_ROWS[name].time:.2f}" if name in published.B_ROWS else ABSENT]
        rows.append(
            [
                name,
                config["loss"]["method"],
                str(system["step"]),
                f"{config['batch_size'] / seconds:.1f}" if seconds else ABSENT,
                f"{seconds:.3f}" if seconds else ABSENT,
                *(times if ratios else []),
                ", ".join(f"{d} {active[d]:.2f}" for d in dimensions) if active else ABSENT,
                system["commit"] or ABSENT,
            ]
        )
        folded.append((f"Configuration of {name}", yaml.safe_dump(config, sort_keys=False)))
    if rows:
        headings = ["run", "objective", "steps", "examples/s", "s/step"]
        headings += ["time ratio", "B Table 1"] if ratios else []
        headings += ["active pairs at the end", "commit"]
        text = (
            "Time ratio: epochs up to the last validation times seconds per epoch, relative to "
            f"{reference_of(runs)} (B §4.3.1); it compares objectives only if all runs were "
            "trained on the same machine."
        )
        table = Table(headings, rows)
        yield Section("Training", text if ratios else "", [("", table)], shown, folded)
