"""The default data: notated music, rendered to audio in a factorial design.

Each piece from music21's corpus is rendered several times, with instrument, tempo, tonic, character
and recording medium dealt independently of the piece and of each other, so that every similarity
dimension is audible, known exactly, and says nothing about the other dimensions. Nothing is copied:
the scores come with the pip package music21 and are rendered on the user's machine.

A configuration comes in, tracks whose audio is rendered when it is asked for go out; `default_data`
makes a data set of them. How features are extracted is not known here.
"""

import dataclasses
import itertools
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from input_pipeline.scores.corpus import GENRES
from input_pipeline.scores.design import Cell, cramers_v, deal, split_sizes
from input_pipeline.scores.excerpts import excerpt
from input_pipeline.scores.pieces import Piece
from input_pipeline.scores.recording import MEDIA
from input_pipeline.scores.rendering import CHARACTERS, INSTRUMENTS, Rendering
from input_pipeline.scores.selection import choose
from input_pipeline.tracks import DIMENSIONS, SPLITS, TONICS, Track

VERSION = 1  # Raise it whenever the same configuration gives different clips.

# Three pairs an octave of tempo apart (54 and 108, 68 and 136, 86 and 172), evenly spaced.
TEMPI = (54.0, 68.0, 86.0, 108.0, 136.0, 172.0)

LEVELS: dict[str, Sequence] = {
    "instrument": tuple(INSTRUMENTS),
    "tonic": range(12),
    "tempo": TEMPI,
    "mood": tuple(CHARACTERS),
    "era": tuple(MEDIA),
}

DESCRIPTION = {
    "genre": "the kind of piece, according to its collection: "
    + "; ".join(f"{name} = {genre.description}" for name, genre in GENRES.items()),
    "mood": "character of the performance: articulation, accents and swell of the notes; "
    "not what a listener would say about the piece",
    "instrument": "General MIDI program that plays all parts (sound font TimGM6mb)",
    "era": "simulated recording medium; not when the piece was written",
    "tempo": "felt beats per minute of the rendering, exact; the felt beat is the half note in "
    "mass movements and 2/2 reels, the dotted quarter in jigs, else the quarter note",
    "key": "tonic after transposition, and the piece's mode; only pieces whose notated tonic "
    "agrees with Krumhansl's analysis of the whole piece are used",
}
LICENCE = (
    "No score or recording is redistributed. The scores are part of music21's corpus; their "
    "licences vary (the Essen folk songs are for non-commercial use): see the corpus."
)
CITATION = (
    "Cuthbert and Ariza, music21: a toolkit for computer-aided musicology and symbolic music data, "
    "ISMIR 2010"
)


@dataclasses.dataclass(frozen=True)
class ScoresConfig:
    """Size of the data set.

    Attributes:
      pieces_per_genre: fewer if a genre does not have as many usable pieces.
      renderings: clips of each piece.
      seconds: length of a clip.
      seed: of everything random.
      split_fractions: of the pieces of each genre, for training, validation and test.
    """

    pieces_per_genre: int = 48
    renderings: int = 4
    seconds: float = 10.0
    seed: int = 0
    split_fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)


def tracks(
    config: ScoresConfig, *, progress: bool = True, workers: int | None = None
) -> list[Track]:
    """Chooses the pieces and deals their renderings; calling a track's audio renders it.

    Args:
      config: size of the data set.
      progress: whether to show progress while reading scores.
      workers: processes that read scores; None = one per core. The tracks don't depend on it.

    Returns:
      Tracks ordered by genre, split, piece and rendering; the pieces are the groups.
    """
    selection = choose(
        config.pieces_per_genre, seed=config.seed, progress=progress, workers=workers
    )
    return deal_tracks(selection.pieces, config)


def deal_tracks(pieces: Mapping[str, Sequence[Piece]], config: ScoresConfig) -> list[Track]:
    """Divides the pieces of each genre into splits and deals their renderings.

    Args:
      pieces: per genre, in shuffled order.
      config: size of the data set.

    Returns:
      Tracks ordered by genre, split, piece and rendering.
    """
    by_cell = _split(pieces, config)
    sizes = {cell: len(some) for cell, some in by_cell.items()}
    levels = {factor: len(values) for factor, values in LEVELS.items()}
    hands = deal(sizes, levels, renderings=config.renderings, seed=config.seed)
    return [
        _track(piece, split, number, hands[genre, split][row, number], config)
        for (genre, split), some in by_cell.items()
        for row, piece in enumerate(some)
        for number in range(config.renderings)
    ]


def independence(tracks: Sequence[Track]) -> dict[tuple[str, str], float]:
    """Computes Cramér's V (0 = independent) between the labels of every pair of dimensions."""
    labels: dict[str, list] = {
        dimension: [track.tags.get(dimension, ()) for track in tracks] for dimension in DIMENSIONS
    }
    labels["tempo"] = [track.tempo for track in tracks]
    labels["key"] = [track.key for track in tracks]
    return {
        (one, other): cramers_v(labels[one], labels[other])
        for one, other in itertools.combinations(DIMENSIONS, 2)
    }


def format_independence(table: dict[tuple[str, str], float]) -> str:
    """Formats the values of `independence` as a triangular table."""
    lines = [" " * 12 + "".join(f"{name:>12}" for name in DIMENSIONS[1:])]
    for one in DIMENSIONS[:-1]:
        cells = [
            f"{table[one, other]:12.3f}" if (one, other) in table else " " * 12
            for other in DIMENSIONS[1:]
        ]
        lines.append(f"{one:12}" + "".join(cells).rstrip())
    return "\n".join(lines)


def _split(pieces: Mapping[str, Sequence[Piece]], config: ScoresConfig) -> dict[Cell, list[Piece]]:
    by_cell = {}
    for genre, some in pieces.items():
        rest = iter(some)
        sizes = split_sizes(len(some), config.split_fractions)
        for split, size in zip(SPLITS, sizes, strict=True):
            by_cell[genre, split] = list(itertools.islice(rest, size))
    return by_cell


def _track(piece: Piece, split: str, number: int, hand: np.ndarray, config: ScoresConfig) -> Track:
    dealt = {
        factor: values[level] for (factor, values), level in zip(LEVELS.items(), hand, strict=True)
    }
    candidate = piece.candidate
    track_id = f"{candidate.genre.replace(' ', '-')}-{candidate.piece_id}-{number}"
    seed = zlib.crc32(f"{config.seed} {track_id}".encode())
    beats = config.seconds * dealt["tempo"] / 60
    rendering = Rendering(
        notes=excerpt(piece, beats, number, config.renderings, np.random.default_rng(seed)),
        program=INSTRUMENTS[dealt["instrument"]],
        tempo=dealt["tempo"],
        transposition=(dealt["tonic"] - piece.tonic + 6) % 12 - 6,
        character=dealt["mood"],
        medium=dealt["era"],
        seconds=config.seconds,
        seed=seed,
    )
    return Track(
        track_id=track_id,
        split=split,
        audio=rendering,
        group=candidate.piece_id,
        artist=candidate.artist,
        title=f"{candidate.title} ({number + 1})",
        source=f"music21 corpus: {candidate.path.parent.name}/{candidate.path.name}",
        tags={
            "genre": (candidate.genre,),
            "mood": (dealt["mood"],),
            "instrument": (dealt["instrument"],),
            "era": (dealt["era"],),
        },
        tempo=dealt["tempo"],
        key=f"{TONICS[dealt['tonic']]} {'minor' if piece.minor else 'major'}",
    )
