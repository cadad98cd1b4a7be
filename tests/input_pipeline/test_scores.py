"""Tests of the default data: choice of pieces, factorial deal, performance, rendering, media."""

import dataclasses
import io
import itertools
import pickle
from collections import Counter

import librosa
import numpy as np
import pretty_midi
import pytest
import soundfile
from scipy import signal, stats

from input_pipeline import scores
from input_pipeline.scores import corpus, design, excerpts, pieces, recording, rendering, selection
from input_pipeline.scores.pieces import Note
from input_pipeline.scores.rendering import Rendering
from input_pipeline.tracks import SPLITS, TAG_DIMENSIONS, TONICS

CONFIG = scores.ScoresConfig(pieces_per_genre=3, renderings=2, seconds=3.0, seed=5)
LEVELS = {factor: len(values) for factor, values in scores.LEVELS.items()}


@pytest.fixture(scope="session")
def chosen():
    return selection.choose(3, seed=5, progress=False, workers=1)


@pytest.fixture(scope="session")
def tracks(chosen):
    return scores.deal_tracks(chosen.pieces, CONFIG)


def scale(**changes) -> Rendering:
    """A C major scale in quarter notes, two bars of four."""
    notes = tuple(
        Note(float(beat), 1.0, pitch, 0, 2 if beat % 4 == 0 else 1)
        for beat, pitch in enumerate((60, 62, 64, 65, 67, 69, 71, 72))
    )
    defaults = Rendering(notes, 71, 120.0, 0, "lively", "modern digital", 4.0, 1)
    return dataclasses.replace(defaults, **changes)


# Tracks


def test_tracks_have_all_labels_and_are_unique(tracks):
    assert len(tracks) == 6 * 3 * 2
    assert len({track.track_id for track in tracks}) == len(tracks)
    for track in tracks:
        assert set(track.tags) == set(TAG_DIMENSIONS)
        assert all(len(tags) == 1 for tags in track.tags.values())
        assert track.tempo == track.audio.tempo
        assert rendering.INSTRUMENTS[track.tags["instrument"][0]] == track.audio.program
        assert track.tags["mood"] == (track.audio.character,)
        assert track.tags["era"] == (track.audio.medium,)
        assert track.artist and track.title and track.source


def test_tracks_depend_on_the_seed_only(tracks):
    assert scores.tracks(CONFIG, progress=False, workers=2) == tracks


def test_another_seed_gives_other_renderings(chosen, tracks):
    others = scores.deal_tracks(chosen.pieces, dataclasses.replace(CONFIG, seed=6))
    assert [track.tags for track in others] != [track.tags for track in tracks]
    seeds = {track.audio.seed for track in (*tracks, *others)}
    assert len(seeds) == 2 * len(tracks)


def test_splits_are_by_piece_and_stratified(tracks):
    splits = {track.group: track.split for track in tracks}
    assert all(splits[track.group] == track.split for track in tracks)
    counts = Counter((track.tags["genre"][0], track.split) for track in tracks)
    assert [counts[genre, split] for genre in corpus.GENRES for split in SPLITS] == [2] * 18


def test_key_is_the_analysed_key_of_the_transposed_notes(chosen, tracks):
    """The oracle is music21's own analysis, of the whole piece, transposed as the clip is."""
    from music21 import note, stream

    wholes = {piece.candidate.piece_id: piece for some in chosen.pieces.values() for piece in some}
    for track in tracks[::2]:
        whole = stream.Stream()
        for one in wholes[track.group].notes:
            pitch = one.pitch + track.audio.transposition
            whole.append(note.Note(pitch, quarterLength=one.duration))
        key = whole.analyze("key.krumhansl")
        assert f"{TONICS[key.tonic.pitchClass]} {key.mode}" == track.key
        assert -6 <= track.audio.transposition <= 5


def test_rendered_track_is_reproducible_and_exact(tracks):
    samples = tracks[3].audio()
    again = pickle.loads(pickle.dumps(tracks[3])).audio()
    assert samples.tobytes() == again.tobytes()
    assert samples.dtype == np.float32 and samples.shape == (3 * 22050,)
    assert np.isfinite(samples).all()


@pytest.mark.parametrize("dimension", scores.DESCRIPTION)
def test_every_dimension_is_described(dimension):
    assert len(scores.DESCRIPTION[dimension]) > 20


# Deal


def cells(train, held_out):
    sizes = zip(SPLITS, (train, held_out, held_out), strict=True)
    return {(genre, split): n for split, n in sizes for genre in corpus.GENRES}


@pytest.mark.parametrize(("pieces_per_cell", "renderings"), [((34, 7), 4), ((12, 3), 5)])
def test_deal_gives_every_level_equally_often(pieces_per_cell, renderings):
    hands = design.deal(cells(*pieces_per_cell), LEVELS, renderings=renderings, seed=3)
    assert hands.keys() == cells(*pieces_per_cell).keys()
    for hand in hands.values():
        for column, levels in zip(np.moveaxis(hand, -1, 0), LEVELS.values(), strict=True):
            counts = np.bincount(column.ravel(), minlength=levels)
            assert counts.max() - counts.min() <= 1


def test_deal_is_independent():
    hands = design.deal(cells(34, 7), LEVELS, renderings=4, seed=3)
    rows = [
        (genre, *levels)
        for (genre, split), hand in hands.items()
        if split == "train"
        for levels in hand.reshape(-1, len(LEVELS))
    ]
    for one, other in itertools.combinations(zip(*rows, strict=True), 2):
        assert design.cramers_v(one, other) < 0.06


def test_deal_varies_all_factors_within_a_piece():
    hands = design.deal(cells(34, 7), LEVELS, renderings=4, seed=3)
    assert sum(len(hand) for hand in hands.values()) == len(corpus.GENRES) * (34 + 7 + 7)
    for hand in hands.values():
        for piece in hand:
            assert [len(set(column)) for column in piece.T] == [4, 4, 4, 3, 3]


def test_deal_depends_on_the_seed():
    one, same, other = (
        design.deal(cells(5, 2), LEVELS, renderings=4, seed=seed) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(one[cell], same[cell]) for cell in one)
    assert not all(np.array_equal(one[cell], other[cell]) for cell in one)


def test_cramers_v_equals_scipy():
    generator = np.random.default_rng(0)
    one = generator.integers(0, 4, 300)
    other = (one + generator.integers(0, 3, 300)) % 7
    expected = stats.contingency.association(
        stats.contingency.crosstab(one, other).count, method="cramer"
    )
    assert design.cramers_v(one.tolist(), other.tolist()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("count", "sizes"), [(1, [1, 0, 0]), (3, [1, 1, 1]), (7, [5, 1, 1]), (48, [34, 7, 7])]
)
def test_split_sizes_add_up(count, sizes):
    """And no split is empty where there are three pieces and more."""
    assert design.split_sizes(count, (0.7, 0.15, 0.15)) == sizes


def test_independence_table_lists_every_pair(tracks):
    table = scores.independence(tracks)
    assert len(table) == 15
    text = scores.format_independence(table)
    assert all(f"{value:.3f}" in text for value in table.values())


# Pieces


def tune(text, genre="reel"):
    candidate = corpus.Candidate("x", genre, "x", "x", "abc", corpus.corpus_folder(), text)
    return pieces.parse(candidate)


REEL = "X:1\nT:x\nM:{metre}\nL:1/16\nK:{key}\nA2|" + "defg abag f2d2 A2d2|c2e2 g2e2 d4 d4|" * 4


def test_parse_reads_notes_beats_and_key():
    piece = tune(REEL.format(metre="2/2", key="D").replace("1/16", "1/8"))
    assert (piece.tonic, piece.minor) == (2, False)
    assert piece.notes[0] == Note(0.0, 0.5, 69, 0, 0)
    assert piece.notes[1] == Note(0.5, 0.25, 74, 0, 2)
    assert piece.bars[:2] == (0.5, 2.5)


@pytest.mark.parametrize(
    ("metre", "key", "reason"),
    [("3/4", "D", "metre"), ("4/4", "A", "metre"), ("2/2", "A", "differ"), ("2/2", "Bm", "differ")],
)
def test_parse_rejects(metre, key, reason):
    with pytest.raises(pieces.Rejected, match=reason):
        tune(REEL.format(metre=metre, key=key))


def test_ties_and_grace_notes():
    piece = tune("X:1\nT:x\nM:2/2\nL:1/4\nK:C\n" + "{d}C2-C2|E2 G2|c2 G2|E2 C2|" * 3)
    assert [note[:3] for note in piece.notes[:3]] == [(0, 2, 60), (2, 1, 64), (3, 1, 67)]


def test_same_melody_in_another_key_is_found():
    generator = np.random.default_rng(1)
    melody = generator.integers(60, 75, 60).tolist()

    def fingerprint(pitches):
        return selection.fingerprint(tuple(Note(i, 1, p, 0, 0) for i, p in enumerate(pitches)))

    transposed = [pitch + 5 for pitch in melody]
    other = generator.permutation(melody).tolist()
    assert selection.same_melody(fingerprint(melody), fingerprint(transposed[10:50]))
    assert not selection.same_melody(fingerprint(melody), fingerprint(other))


def test_no_two_chosen_pieces_are_the_same_work(chosen):
    melodies = [selection.fingerprint(one.notes) for some in chosen.pieces.values() for one in some]
    assert len(melodies) > len(corpus.GENRES)
    assert not any(selection.same_melody(*pair) for pair in itertools.combinations(melodies, 2))
    masses = [one.candidate.title.split(":")[0] for one in chosen.pieces["mass movement"]]
    assert len(set(masses)) == len(masses)


# Excerpts


def test_cut_keeps_held_notes_and_goes_round():
    notes = (Note(0.0, 4.0, 60, 0, 2), Note(2.0, 2.0, 67, 1, 1))
    piece = pieces.Piece(None, 0, False, 4.0, (0.0,), notes)
    assert excerpts.cut(piece, 1.0, 5.0) == (
        Note(0.0, 3.0, 60, 0, 0),
        Note(1.0, 2.0, 67, 1, 1),
        Note(3.0, 4.0, 60, 0, 2),
    )


def test_excerpts_of_a_piece_differ_and_fill_the_clip(chosen):
    assert len(chosen.pieces["reel"]) > 1
    for piece in chosen.pieces["reel"]:
        cuts = [
            excerpts.excerpt(piece, 10.0, number, 4, np.random.default_rng(0))
            for number in range(4)
        ]
        assert len(set(cuts)) == 4
        assert all(max(note.onset for note in cut) > 8.5 for cut in cuts)


# Performance and sound


@pytest.mark.parametrize("tempo", scores.TEMPI)
@pytest.mark.parametrize("character", rendering.CHARACTERS)
def test_onsets_are_exact(tempo, character):
    clip = scale(tempo=tempo, character=character)
    midi = pretty_midi.PrettyMIDI(io.BytesIO(rendering.midi_bytes(clip)))
    onsets = sorted(note.start for note in midi.instruments[0].notes)
    np.testing.assert_allclose(onsets, np.arange(8) * 60 / tempo, atol=1e-3)
    assert midi.get_tempo_changes()[1] == pytest.approx([tempo], rel=1e-5)


def test_repeated_notes_are_not_cut_off_by_each_other():
    notes = tuple(Note(i / 4, 0.25, 60, 0, 0) for i in range(16))
    played = rendering.perform(scale(notes=notes, character="calm", tempo=172.0))
    assert len(played) == 16
    assert all(one.end < two.start for one, two in itertools.pairwise(played))


@pytest.mark.parametrize("transposition", [-6, 0, 5])
@pytest.mark.parametrize("medium", recording.MEDIA)
def test_sounding_pitch(transposition, medium):
    notes = (Note(0.0, 8.0, 69, 0, 2),)
    samples = scale(
        notes=notes, transposition=transposition, character="calm", medium=medium, seed=9
    )()
    found = librosa.yin(samples, fmin=200, fmax=800, sr=22050)[20:-20]
    assert np.median(librosa.hz_to_midi(found)) == pytest.approx(69 + transposition, abs=0.1)


@pytest.mark.parametrize("program", rendering.INSTRUMENTS.values())
def test_every_instrument_sounds_at_the_same_loudness(program):
    for character in rendering.CHARACTERS:
        samples = scale(program=program, character=character)()
        level = 20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)))
        assert level == pytest.approx(-20, abs=0.1)
        assert np.abs(samples).max() < 1


def test_instrument_names_are_general_midi():
    for name, program in rendering.INSTRUMENTS.items():
        assert pretty_midi.program_to_instrument_name(program) == name


def share(samples, low, high):
    """Share of the power between two frequencies in Hz."""
    frequencies, power = signal.welch(samples, 22050, nperseg=4096)
    return power[(frequencies >= low) & (frequencies < high)].sum() / power.sum()


def test_media_have_their_band_widths():
    generator = np.random.default_rng(2)
    noise = generator.standard_normal(22050 * 4) * 0.1
    shellac, tape, modern = (
        medium(noise, 22050, np.random.default_rng(1)) for medium in recording.MEDIA.values()
    )
    assert share(shellac, 0, 200) < 0.1 * share(modern, 0, 200)
    assert share(shellac, 5000, 11025) < 0.05 < 0.2 < share(modern, 7500, 11025)
    assert share(tape, 7500, 11025) < 0.2 * share(modern, 7500, 11025)
    assert share(tape, 3500, 5000) > 2 * share(shellac, 3500, 5000)


def test_media_have_their_noise():
    """Between two notes: shellac is noisier than tape, digital is silent."""
    notes = (Note(0.0, 0.5, 60, 0, 2), Note(7.5, 0.5, 60, 0, 2))
    gaps = [
        np.std(scale(notes=notes, medium=medium)()[int(2.0 * 22050) : int(3.5 * 22050)])
        for medium in recording.MEDIA
    ]
    assert gaps[0] > 2 * gaps[1] > 20 * gaps[2]


def test_tape_keeps_time():
    """Wow and flutter move an onset by less than 2 milliseconds."""
    clicks = np.zeros(22050 * 4)
    clicks[11025::11025] = 1.0
    moved = recording.tape(clicks, 22050, np.random.default_rng(3))
    envelope = np.abs(moved)
    for click in np.flatnonzero(clicks):
        window = envelope[click - 200 : click + 200]
        assert abs(int(window.argmax()) - 200) < 0.002 * 22050


def test_characters_differ_in_articulation():
    lengths = {
        character: np.mean([note.end - note.start for note in rendering.perform(clip)])
        for character in rendering.CHARACTERS
        for clip in [scale(character=character, tempo=60.0)]
    }
    assert lengths["lively"] < 0.6 * lengths["forceful"] < 0.6 * lengths["calm"]


@pytest.mark.parametrize("crest", [1.5, 40.0])
def test_normalise_keeps_peaks_below_full_scale(crest):
    samples = np.random.default_rng(4).standard_normal(44100)
    samples[::5000] *= crest
    loud = recording.normalise(samples * 30, 0.1)
    assert np.abs(loud).max() < 1
    assert np.sqrt(np.mean(loud**2)) == pytest.approx(0.1, rel=0.005)


def test_clip_can_be_written(tmp_path):
    soundfile.write(tmp_path / "clip.wav", scale()(), 22050)
    assert soundfile.info(tmp_path / "clip.wav").frames == 4 * 22050
