"""From notes to samples: performance, synthesis, recording medium and loudness."""

import dataclasses
import functools
import importlib.resources
import io
from typing import NamedTuple

import numpy as np
import soxr

from input_pipeline.scores.pieces import Note
from input_pipeline.scores.recording import MEDIA, normalise

SAMPLE_RATE = 22050
LEVEL = 0.1  # root mean square of every clip, -20 dB of full scale

# General MIDI programs (counted from 0) that differ in timbre, sound in every register and are in
# tune: this sound font's accordion is up to half a semitone flat, its flute 0.17 sharp.
INSTRUMENTS = {
    "Acoustic Grand Piano": 0,
    "Harpsichord": 6,
    "Vibraphone": 11,
    "Church Organ": 19,
    "Acoustic Guitar (nylon)": 24,
    "Violin": 40,
    "Choir Aahs": 52,
    "Trumpet": 56,
    "Oboe": 68,
    "Clarinet": 71,
    "Recorder": 74,
    "Sitar": 104,
}


@dataclasses.dataclass(frozen=True)
class Character:
    """A manner of playing.

    Attributes:
      length: share of its notated duration for which a note sounds.
      overlap: seconds for which it sounds on top of that.
      velocities: MIDI velocity off the beat, on the beat, at the start of a bar.
      swell: expression (MIDI controller 11) at the start and end of `swell_seconds`.
    """

    length: float
    overlap: float
    velocities: tuple[int, int, int]
    swell: tuple[int, int]
    swell_seconds: float


CHARACTERS = {
    "calm": Character(1.0, 0.05, (62, 66, 70), (64, 112), 0.25),
    "lively": Character(0.4, 0.0, (66, 104, 116), (110, 110), 0.0),
    "forceful": Character(0.85, 0.0, (112, 122, 127), (127, 60), 0.25),
}


class PerformedNote(NamedTuple):
    """A note as played: seconds, MIDI pitch, MIDI velocity, part."""

    start: float
    end: float
    pitch: int
    velocity: int
    part: int


@dataclasses.dataclass(frozen=True)
class Rendering:
    """A clip to be rendered; every call returns the same float32 samples at 22,050 Hz.

    Attributes:
      notes: onsets in felt beats from the start of the clip.
      program: General MIDI program of all parts, counted from 0.
      tempo: felt beats per minute.
      transposition: semitones.
      character: one of `CHARACTERS`.
      medium: one of `recording.MEDIA`.
      seconds: length of the clip.
      seed: of the medium's noise.
    """

    notes: tuple[Note, ...]
    program: int
    tempo: float
    transposition: int
    character: str
    medium: str
    seconds: float
    seed: int

    def __call__(self) -> np.ndarray:
        samples = _fit(_synthesise(self), round(self.seconds * SAMPLE_RATE))
        samples = MEDIA[self.medium](samples, SAMPLE_RATE, np.random.default_rng(self.seed))
        return normalise(samples, LEVEL).astype(np.float32)


def perform(rendering: Rendering) -> list[PerformedNote]:
    """Returns the notes as played, sorted by start."""
    character = CHARACTERS[rendering.character]
    beat = 60 / rendering.tempo
    played = []
    next_start: dict[tuple[int, int], float] = {}
    for note in sorted(rendering.notes, reverse=True):
        start = note.onset * beat
        pitch = note.pitch + rendering.transposition
        end = start + max(note.duration * beat * character.length, 0.05) + character.overlap
        # Telling a synthesiser to stop a pitch would also stop its repetition.
        end = min(end, next_start.get((note.part, pitch), np.inf) - 0.01)
        next_start[note.part, pitch] = start
        if end > start:
            velocity = character.velocities[note.accent]
            played.append(PerformedNote(start, end, pitch, velocity, note.part))
    return sorted(played)


def midi_bytes(rendering: Rendering) -> bytes:
    """Encodes the performance as a standard MIDI file, one channel per part."""
    import pretty_midi

    character = CHARACTERS[rendering.character]
    midi = pretty_midi.PrettyMIDI(resolution=960, initial_tempo=rendering.tempo)
    parts: dict[int, pretty_midi.Instrument] = {}
    for start, end, pitch, velocity, part in perform(rendering):
        instrument = parts.setdefault(part, pretty_midi.Instrument(rendering.program))
        instrument.notes.append(pretty_midi.Note(velocity, pitch, start, end))
        seconds = min(character.swell_seconds, end - start)
        first, last = character.swell
        for share in np.linspace(0, 1, 5 if seconds else 1):
            value = round(first + (last - first) * share)
            time = start + seconds * share
            instrument.control_changes.append(pretty_midi.ControlChange(11, value, time))
    midi.instruments.extend(parts[part] for part in sorted(parts))
    file = io.BytesIO()
    midi.write(file)
    return file.getvalue()


@functools.cache
def _sound_font() -> bytes:
    return (importlib.resources.files("pretty_midi") / "TimGM6mb.sf2").read_bytes()


def _synthesise(rendering: Rendering) -> np.ndarray:
    """Returns mono samples at `SAMPLE_RATE`; how many depends on the decay of the last notes."""
    import midirenderer
    import soundfile

    wave = midirenderer.render_wave_from(_sound_font(), midi_bytes(rendering))
    samples, rate = soundfile.read(io.BytesIO(wave))
    return soxr.resample(samples.mean(1), rate, SAMPLE_RATE)


def _fit(samples: np.ndarray, length: int) -> np.ndarray:
    return np.pad(samples[:length], (0, max(0, length - len(samples))))
