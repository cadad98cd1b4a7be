"""Cuts the notes of a clip out of a piece."""

import numpy as np

from input_pipeline.scores.pieces import Note, Piece, key_correlations


def excerpt(
    piece: Piece, beats: float, number: int, count: int, generator: np.random.Generator
) -> tuple[Note, ...]:
    """Cuts one of `count` excerpts that start in different stretches of the piece.

    It starts at a bar from which on the excerpt's own key is the piece's: a clip out of a passage
    in another key would bear a wrong label. Where there is none, at the bar that comes closest.

    Args:
      piece: where from.
      beats: length of the excerpt.
      number: which excerpt, below `count`.
      count: into how many stretches the piece is divided.
      generator: decides between bars.

    Returns:
      Notes with onsets from 0 to `beats`. A piece that is too short starts again when it ends.
    """
    bars = np.array_split(np.array(piece.bars), count)[number]
    if len(bars) == 0:
        bars = np.array(piece.bars)
    excerpts = [cut(piece, bar, beats) for bar in generator.permutation(bars).tolist()]
    own = piece.tonic + 12 * piece.minor
    margins = []
    for notes in excerpts:
        correlations = key_correlations(notes)
        margins.append(correlations[own] - np.delete(correlations, own).max())
    right = [notes for notes, margin in zip(excerpts, margins, strict=True) if margin > 0]
    return right[0] if right else excerpts[int(np.argmax(margins))]


def cut(piece: Piece, start: float, beats: float) -> tuple[Note, ...]:
    """Cuts `beats` felt beats from the beat `start` on, going round where the piece ends."""
    found = []
    for round_number in range(int((start + beats) // piece.length) + 1):
        for note in piece.notes:
            onset = note.onset + round_number * piece.length - start
            end = onset + note.duration
            if onset >= beats or end <= 1e-6:
                continue
            # A note that sounds already when the clip starts is struck there.
            clipped = max(onset, 0.0)
            accent = note.accent if onset >= -1e-6 else 0
            found.append(Note(clipped, end - clipped, note.pitch, note.part, accent))
    return tuple(sorted(found))
