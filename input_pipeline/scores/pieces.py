"""A piece of music as notes counted in felt beats, read from a score with music21."""

import dataclasses
import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from input_pipeline.scores.corpus import GENRES, Candidate

# Krumhansl and Kessler 1982, probe-tone profiles of C major and C minor.
_PROFILES = np.array(
    [
        [6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88],
        [6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17],
    ]
)
_MAJOR_MODES = ("major", "ionian", "lydian", "mixolydian", "ion", "lyd", "mix")
_SHORTEST = 16  # beats


class Note(NamedTuple):
    """A note: onset and duration in felt beats, MIDI pitch, part; accent 2 = bar, 1 = beat, 0."""

    onset: float
    duration: float
    pitch: int
    part: int
    accent: int


@dataclasses.dataclass(frozen=True)
class Piece:
    """A parsed piece.

    Attributes:
      candidate: where it came from.
      tonic: pitch class from 0 (C) to 11 (B), by notation and analysis.
      minor: whether the third of its scale is minor.
      length: in felt beats.
      bars: onsets of the whole bars, in felt beats.
      notes: sorted by onset.
    """

    candidate: Candidate
    tonic: int
    minor: bool
    length: float
    bars: tuple[float, ...]
    notes: tuple[Note, ...]


class Rejected(Exception):
    """A piece that cannot be used; the message is the reason."""


def key_correlations(notes: Iterable[Note]) -> np.ndarray:
    """Correlates pitch-class durations with the profiles of all keys.

    Args:
      notes: at least one.

    Returns:
      Correlations [24]: C major ... B major, C minor ... B minor.
    """
    weights = np.zeros(12)
    for note in notes:
        weights[note.pitch % 12] += note.duration
    rotated = np.array([np.roll(profile, tonic) for profile in _PROFILES for tonic in range(12)])
    rotated -= rotated.mean(1, keepdims=True)
    weights -= weights.mean()
    norms = np.linalg.norm(rotated, axis=1) * np.linalg.norm(weights)
    return rotated @ weights / np.maximum(norms, 1e-12)


def parse(candidate: Candidate) -> Piece:
    """Reads one piece.

    Raises:
      Rejected: the piece is unreadable or too short, differs from its genre in metre or number of
        parts, changes key, or has a notated key that analysis of the whole piece does not confirm.
    """
    score = _read(candidate)
    genre = GENRES[candidate.genre]
    least, most = genre.parts
    if not least <= len(score.parts) <= most:
        raise Rejected("number of parts")
    beat = _felt_beat(score, genre.beats)
    bars = _whole_bars(score.parts[0], beat)
    notes = _notes(score, beat, bars)
    length = float(np.ceil(float(score.duration.quarterLength) / beat - 1e-6))
    if length < _SHORTEST or len(bars) < 4 or not notes:
        raise Rejected("too short")
    notated, notated_minor = _notated_key(candidate, score, notes)
    minor, tonic = divmod(int(key_correlations(notes).argmax()), 12)
    if tonic != notated or (notated_minor is not None and notated_minor != bool(minor)):
        raise Rejected("notated and analysed key differ")
    return Piece(candidate, tonic, bool(minor), length, bars, notes)


def _read(candidate: Candidate):
    from music21 import converter, exceptions21

    try:
        if candidate.text:
            score = converter.parse(candidate.text, format=candidate.notation)
        else:
            # Neither read nor write music21's pickles in the temporary folder.
            score = converter.parse(
                candidate.path, format=candidate.notation, forceSource=True, storePickle=False
            )
    except (exceptions21.Music21Exception, ValueError, LookupError, AttributeError) as error:
        raise Rejected("music21 cannot read it") from error
    return score


def _felt_beat(score, beats) -> float:
    from music21 import meter

    signatures = {found.ratioString for found in score[meter.TimeSignature]}
    lengths = {beats.get(signature) for signature in signatures}
    if len(lengths) != 1 or None in lengths:
        raise Rejected("metre")
    return float(lengths.pop())


def _whole_bars(part, beat: float) -> tuple[float, ...]:
    from music21 import stream

    return tuple(
        float(bar.offset) / beat
        for bar in part[stream.Measure]
        if bar.duration.quarterLength == bar.barDuration.quarterLength
    )


def _notes(score, beat: float, bars: tuple[float, ...]) -> tuple[Note, ...]:
    notes = []
    for number, part in enumerate(score.parts):
        for onset, duration, pitch in _sounding(part):
            onset /= beat
            notes.append(Note(onset, duration / beat, pitch, number, _accent(onset, bars)))
    return tuple(sorted(notes))


def _sounding(part) -> list[list]:
    """Lists [onset, duration, pitch] of a part's notes, in quarter notes; tied notes are merged.

    music21's own `stripTies` copies the whole score, which takes longer than reading it.
    """
    from music21 import harmony

    found: list[list] = []
    tied: dict[int, list] = {}  # pitch -> note that continues
    for element in part.flatten().notes:
        onset, duration = float(element.offset), float(element.duration.quarterLength)
        if duration == 0 or isinstance(element, harmony.Harmony):
            continue  # grace notes and chord symbols
        for note in element.notes if element.isChord else [element]:
            pitch = round(note.pitch.ps)
            kind = note.tie.type if note.tie else None
            before = tied.pop(pitch, None)
            if before and kind in ("stop", "continue"):
                before[1] = onset + duration - before[0]
            else:
                before = [onset, duration, pitch]
                found.append(before)
            if kind in ("start", "continue"):
                tied[pitch] = before
    return found


def _accent(onset: float, bars: tuple[float, ...]) -> int:
    """Returns 2 at the start of a bar, 1 on any other beat, else 0."""
    before = [bar for bar in bars if bar <= onset + 1e-6]
    since = onset - (before[-1] if before else bars[0] if bars else 0.0)
    if before and abs(since) < 1e-6:
        return 2
    return int(abs(since - round(since)) < 1e-6)


def _notated_key(candidate: Candidate, score, notes) -> tuple[int, bool | None]:
    """Returns the notated tonic and mode; the mode is None if not notated."""
    from music21 import key, pitch

    if candidate.notation == "musicxml":
        # A key signature leaves the tonic open, but a chorale ends on its tonic in the bass.
        last = max(notes, key=lambda note: (note.onset + note.duration, -note.pitch))
        return last.pitch % 12, None
    if candidate.notation == "humdrum":
        text = candidate.path.read_text(encoding="utf-8", errors="replace")
        found = set(re.findall(r"^\*([A-Ga-g][-#]?):(\w*)", text, re.MULTILINE))
        keys = {(pitch.Pitch(name).pitchClass, mode) for name, mode in found}
    else:
        # music21 gives no mode only if ABC names none, which means major.
        signatures = score[key.KeySignature]
        named = [one if isinstance(one, key.Key) else one.asKey() for one in signatures]
        keys = {(one.tonic.pitchClass, one.mode) for one in named}
    if len(keys) != 1:
        raise Rejected("no key or several keys notated")
    tonic, mode = keys.pop()
    return tonic, mode not in _MAJOR_MODES
