"""Do the hits make sense? Renderings of unheard pieces, searched in one dimension at a time.

python -m benchmarks.hits --music=~/Music

`python -m jaxsim.embed` puts the validation renderings of the embedded scores, on which the shipped
model was not trained, and any other music into one library. Every rendering is a query: of the five
nearest renderings of other pieces, how many are alike in the dimension?
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
import tqdm

from benchmarks import clips
from configs.six_dim import get_config
from input_pipeline import command_line, scores
from input_pipeline.command_line import comma_separated, positive_integer
from input_pipeline.tracks import KEYS, TAG_DIMENSIONS, Track
from jaxsim.library import store
from jaxsim.library.search import query
from jaxsim.objective.relations import relations

NEAREST = 5


def embed(tracks: Sequence[Track], music: Sequence[str], folder: Path) -> Path:
    """Makes a library of the renderings, under their track ids, and the music."""
    audio, manifest, library = folder / "audio", folder / "manifest.csv", folder / "library"
    audio.mkdir()
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "track_id"))
        for track, path in zip(tracks, clips.write(list(tracks), audio), strict=True):
            writer.writerow((path.relative_to(folder), track.track_id))
    command = [sys.executable, "-m", "jaxsim.embed", f"--store={library}", str(manifest), *music]
    subprocess.run(command, check=True)
    return library


def alike(tracks: Sequence[Track], dimensions: Sequence[str]) -> np.ndarray:
    """Whether two tracks are similar [S, N, N], as defined in `jaxsim.objective.relations`."""
    config = get_config()
    labels = {
        "index": jnp.arange(len(tracks)),
        "tempo": jnp.array([track.tempo or 0.0 for track in tracks]),
        "key": jnp.array([KEYS.index(track.key) if track.key else -1 for track in tracks]),
    }
    for dimension in TAG_DIMENSIONS:
        names = sorted({tag for track in tracks for tag in track.tags.get(dimension, ())})
        labels[dimension] = jnp.array(
            [[name in track.tags.get(dimension, ()) for name in names] for track in tracks]
        )
    found = relations(
        labels,
        labels,
        dimensions,
        tempo_tolerance=config.relation.tempo_tolerance,
        tempo_relation=config.relation.tempo,
        key_relation=config.relation.key,
    )
    return np.asarray(found.similar)


def measure(*, pieces_per_genre: int, music: Sequence[str]) -> None:
    """Embeds the library, searches it and prints the table."""
    found = scores.tracks(scores.ScoresConfig(pieces_per_genre=pieces_per_genre))
    tracks = [track for track in found if track.split == "validation"]
    other_piece = np.array([[a.group != b.group for b in tracks] for a in tracks])
    table = rich.table.Table(title=f"Alike among the {NEAREST} nearest from other pieces")
    for heading in ("dimension", "share", "by chance"):
        table.add_column(heading, justify="left" if heading == "dimension" else "right")
    with tempfile.TemporaryDirectory() as temporary:
        others = [str(Path(path).expanduser()) for path in music]
        with store.open(embed(tracks, others, Path(temporary))) as library:
            number = {track.track_id: i for i, track in enumerate(tracks)}
            numbers = np.array([number.get(name, -1) for name in library.ids])  # by row
            rows = np.flatnonzero(numbers >= 0)
            similar = alike(tracks, library.dimensions)
            for s, dimension in enumerate(tqdm.tqdm(library.dimensions, desc="searching")):
                shares = []
                for row in rows:
                    own = numbers[row]
                    among = rows[other_piece[own, numbers[rows]]]
                    hits = query.search(library, [row], {dimension: 1.0}, top=NEAREST, among=among)
                    shares.append(similar[s, own, [numbers[hit.row] for hit in hits]].mean())
                chance = similar[s][other_piece].mean()
                table.add_row(dimension, f"{np.mean(shares):.3f}", f"{chance:.3f}")
            table.caption = f"{len(rows)} renderings in a library of {len(library)}"
    rich.console.Console(width=110).print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        measure(**vars(options))


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("benchmarks.hits", __doc__)
    add = parser.add_argument
    add(
        "--pieces_per_genre",
        type=positive_integer,
        default=48,
        help="pieces per genre, over all splits; the shipped model was trained with 48",
    )
    add(
        "--music",
        metavar="FOLDER,...",
        type=comma_separated,
        default="",
        help="folders of other music to put into the same library",
    )
    return parser


if __name__ == "__main__":
    main()
