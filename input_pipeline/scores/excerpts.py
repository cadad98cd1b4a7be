"""Cuts the notes of a clip from a piece."""

import numpy as np

from input_pipeline.scores.pieces import Note, Piece, key_correlations


def excerpt(
    piece: Piece, beats: float, number: int, count: int, generator: np.random.Generator
) -> tuple[Note, ...]:
    """Cuts one of `count` excerpts that start in different stretches of the piece.

    It starts at a bar where the excerpt's own key is that of the piece: a clip from a passage in
    another key would have the wrong label. If there is no such bar, it starts at the closest match.

    Args:
      piece: to cut from.
      beats: length of the excerpt.
      number: index of the excerpt, below `count`.
      count: number of stretches into which the piece is divided.
      generator: chooses between bars.

    Returns:
      Notes with onsets from 0 to `beats`. A piece that is too short is repeated.
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
    """Cuts `beats` felt beats from beat `start` on, wrapping round at the end of the piece."""
    found = []
    for round_number in range(int((start + beats) // piece.length) + 1):
        for note in piece.notes:
            onset = note.onset + round_number * piece.length - start
            end = onset + note.duration
            if onset >= beats or end <= 1e-6:
                continue
            # A note already sounding when the clip starts is struck there.
            clipped = max(onset, 0.0)
            accent = note.accent if onset >= -1e-6 else 0
            found.append(Note(clipped, end - clipped, note.pitch, note.part, accent))
    return tuple(sorted(found))
