"""The report of one or several evaluations: an HTML page that opens from disk, and Markdown."""

import json
from collections.abc import Sequence
from pathlib import Path

import jinja2
import rich.console
import rich.table
import rich.text

from input_pipeline.errors import first_line
from input_pipeline.files import write_text
from jaxsim.evaluation.metrics import CHANCE
from jaxsim.evaluation.parts import Results, interval
from jaxsim.evaluation.readings_section import TITLE, reading_tables
from jaxsim.evaluation.sections import sections

FIELDS = frozenset(
    ("data", "dimensions", "triplets_per_dimension", "judged_triplets", "systems", "differences")
)  # of `evaluation.json`
NAMED = ("systems", "estimates")  # fields by name of a system; older evaluations lack the latter


def write(results: Results, folder: Path) -> tuple[Path, Path]:
    """Writes `report.html` and `report.md`; returns their paths."""
    content = list(sections(results))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jaxsim.evaluation"),
        autoescape=jinja2.select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    paths = []
    for name in ("report.html", "report.md"):
        text = environment.get_template(name).render(sections=content, data=results["data"])
        path = folder / name
        write_text(path, text)
        paths.append(path)
    return paths[0], paths[1]


def print_summary(results: Results) -> None:
    """Prints each dimension's score in its own sub-space, and how well tempo and key are read."""
    data, systems = results["data"], results["systems"]
    shown = rich.table.Table(
        title=f"Triplet score in each dimension's own sub-space, {data['tracks']} tracks of "
        f"{data['groups']} groups, split {data['split']} (chance {CHANCE}, 95 % interval over "
        "groups)"
    )
    shown.add_column("dimension")
    for name in systems:
        shown.add_column(name, justify="right")
    for dimension in results["dimensions"]:
        scores = (system["triplets"][dimension]["own"] for system in systems.values())
        shown.add_row(dimension, *map(interval, scores))
    rich.console.Console(width=20 + 24 * len(systems)).print(shown)
    for title, table in reading_tables(results):
        heard = rich.table.Table(*table.headings, title=f"{TITLE}: {title}")
        for row in table.rows:
            heard.add_row(*map(rich.text.Text, row))
        rich.console.Console(width=140).print(heard)


def merged(several: Sequence[Results]) -> Results:
    """One report of several evaluations on the same data.

    Raises:
      ValueError: they are not on the same data, or give two systems the same name.
    """
    first = several[0]
    named = {field: dict(first.get(field, {})) for field in NAMED}
    for other in several[1:]:
        for field in ("data", "triplets_per_dimension", "judged_triplets"):
            if other[field] != first[field]:
                raise ValueError(
                    f"the evaluations differ in {field}: {first[field]} and {other[field]}"
                )
        one, two = first.get("excerpts"), other.get("excerpts")  # None in older evaluations
        if one and two and one != two:
            raise ValueError(
                f"the evaluations differ in excerpts: of {one['seconds']:g} s and "
                f"{two['seconds']:g} s, of {one['tracks']} and {two['tracks']} tracks"
            )
        for field, own in named.items():
            for name, system in other.get(field, {}).items():
                if system != own.setdefault(name, system):
                    raise ValueError(f"two different systems are called {name!r}")
    return {**first, **named}


def read(path: str | Path) -> Results:
    """What an evaluation wrote to `evaluation.json`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is not what an evaluation writes.
    """
    try:
        results = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not an evaluation ({first_line(error)})") from None
    if not isinstance(results, dict):
        kind = type(results).__name__
        raise ValueError(f"{path}: not an evaluation ({kind}, expected an object)")
    if missing := sorted(FIELDS - results.keys()):
        raise ValueError(f"{path}: not a complete evaluation: {', '.join(missing)} is missing")
    return results


def write_merged(paths: Sequence[str | Path], folder: Path) -> tuple[Path, Path]:
    """Writes the report of the evaluations in these files; see `read`, `merged` and `write`."""
    results = merged([read(path) for path in paths])
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return write(results, folder)
    except KeyError as error:
        names = ", ".join(map(str, paths))
        raise ValueError(f"{names}: not a complete evaluation: {error} is missing") from None
