"""A track in excerpts: segments from places spread over it, instead of all of them.

The track is divided into as many equal parts as there are excerpts, and each excerpt is the middle
of a part, so the ends of the track are left out. Around an excerpt, so much is heard that its
segments see what they would see in the whole track.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from input_pipeline.hearing import chroma, features, harmony
from input_pipeline.hearing.features import FeatureConfig
from input_pipeline.hearing.segments import ARRAYS, pad_onset, segments

SEGMENTS = 5  # in an excerpt, 15 s: shorter ones cost more, since the same is heard around each
MARGIN = 4  # frames at the ends of what is heard, whose windows reach beyond it


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an excerpt is in a track, in frames: begin <= start < stop <= end.

    Attributes:
      start, stop: of its segments.
      begin, end: of what is heard.
    """

    begin: int
    start: int
    stop: int
    end: int


def check(seconds: float | None, config: FeatureConfig) -> None:
    """Raises ValueError unless so many seconds are None (the whole track) or hold a segment."""
    least = config.segment_frames / config.frame_rate
    if seconds is not None and not seconds >= least:
        raise ValueError(
            f"--seconds is {seconds:g}, expected at least {np.ceil(10 * least) / 10:g} s (a "
            "segment), or 0 for whole tracks"
        )


def places(frames: int, config: FeatureConfig, seconds: float) -> list[Place]:
    """The excerpts of a track; none if it has no more segments than they have together.

    Args:
      frames: of the track.
      config: how its features are extracted.
      seconds: that all excerpts have together, at most.
    """
    size = config.segment_frames
    count = int(seconds * config.frame_rate) // size
    if frames // size <= count:
        return []
    around = config.tempogram_window // 2 + MARGIN
    found, before = [], 0
    for some in np.array_split(np.arange(count), -(-count // SEGMENTS)):
        middle = frames * (before + len(some) / 2) / count
        start = int(middle - size * len(some) / 2)
        stop = start + size * len(some)
        found.append(Place(max(start - around, 0), start, stop, min(stop + around, frames)))
        before += len(some)
    return found


def extract(
    samples: np.ndarray, config: FeatureConfig, seconds: float | None
) -> dict[str, np.ndarray]:
    """Extracts the features of a track's excerpts, or of the whole if it is as short as they are.

    Silence is left out of a track in excerpts even if `config` keeps it.

    Args:
      samples: mono float samples at `config.sample_rate`, [n].
      config: see `FeatureConfig`.
      seconds: that all excerpts have together, at most; None for the whole track.

    Returns:
      Of excerpts, their segments as `segments` cuts them; of a whole track, what `features.extract`
      gives.

    Raises:
      UnusableTrack: the samples are too short, silent or not finite.
    """
    heard = features.hear(samples, config)
    if seconds is not None and places(_frames(heard, config), config, seconds):
        if config.silence == "kept":
            heard = features.hear(samples, dataclasses.replace(config, silence="left_out"))
        if chosen := places(_frames(heard, config), config, seconds):
            return _of_places(heard, config, chosen)
    return features.analyse(heard, config)


def _of_places(
    heard: features.Samples, config: FeatureConfig, chosen: Sequence[Place]
) -> dict[str, np.ndarray]:
    frames, hop = _frames(heard, config), config.hop_length
    pieces = [heard[place.begin * hop : place.end * hop - 1] for place in chosen]
    tuning = chroma.estimate_tuning(
        np.concatenate(pieces),
        sample_rate=config.sample_rate,
        bins_per_octave=config.bins_per_octave,
    )
    heard_of = [features.analyse(piece, config, tuning=tuning) for piece in pieces]
    cut = (
        _cut(arrays, config, place, frames) for arrays, place in zip(heard_of, chosen, strict=True)
    )
    return _joined(cut) | {"harmony": harmony.joined([each["harmony"] for each in heard_of])}


def of_whole(
    arrays: Mapping[str, np.ndarray], config: FeatureConfig, seconds: float | None
) -> dict[str, np.ndarray]:
    """What `extract` gives, from the features of a whole track: silence in it stays."""
    frames = len(arrays["mel"])
    chosen = [] if seconds is None else places(frames, config, seconds)
    if not chosen:
        return dict(arrays)
    of_track = {name: array for name, array in arrays.items() if name not in ARRAYS}
    return of_track | _joined(
        _cut({n: arrays[n][place.begin : place.end] for n in ARRAYS}, config, place, frames)
        for place in chosen
    )


def _frames(heard: features.Samples, config: FeatureConfig) -> int:
    return 1 + len(heard) // config.hop_length


def _cut(
    arrays: Mapping[str, np.ndarray], config: FeatureConfig, place: Place, frames: int
) -> dict[str, np.ndarray]:
    """The segments of an excerpt, from the features of what is heard of it."""
    first, size = place.start - place.begin, place.stop - place.start
    whole = {name: arrays[name][first : first + size] for name in ("mel", "cens")}
    window, is_first, is_last = config.tempogram_window, place.begin == 0, place.end == frames
    padded = pad_onset(arrays["onset"], window, left=is_first, right=is_last)
    seen = padded[first - (window // 2) * (not is_first) :][: size + 2 * (window // 2)]
    return segments(whole | {"onset": seen}, config, is_padded=True)


def _joined(excerpts: Iterable[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    found = list(excerpts)
    return {name: np.concatenate([each[name] for each in found]) for name in found[0]}
