"""Requests to the service and its answers: the schemas of its OpenAPI document."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from jaxsim.library.search import paths, presets, query
from jaxsim.library.search.hits import as_json
from jaxsim.library.service import proxies
from jaxsim.library.store import Store
from jaxsim.network import subspaces

MAX_TOP = 200
ByDimension = Annotated[dict[str, float], Field(description="A number per dimension.")]


class Problem(BaseModel):
    """Why a request was refused."""

    error: str


class Track(BaseModel):
    """What is known about a track; several values of a text are separated by "; "."""

    row: int = Field(description="Its number while tracks are only added.")
    id: str = Field(description="Its permanent name.")
    title: str | None
    artist: str | None
    album: str | None
    album_artist: str | None
    genre: str | None
    mood: str | None
    instrument: str | None
    era: str | None
    key: str | None
    year: int | None
    tempo: float | None = Field(description="Beats per minute.")
    seconds: float | None
    track_number: int | None
    disc_number: int | None
    compilation: int | None = Field(description="Whether its album is one, 1 or 0.")
    audio: str = Field(description="Address of its audio; supports byte ranges.")
    art: str = Field(description="Address of its album's picture; status 404 if there is none.")


class Hit(BaseModel):
    """A track that a search found, and why."""

    track: Track
    score: float = Field(description="The sum of the contributions.")
    contributions: ByDimension = Field(description="Weight times likeness.")
    likeness: ByDimension = Field(
        description="How alike the track is to the query, in standard deviations of the likeness "
        "of random tracks of the library."
    )
    closer_than: float = Field(
        description="The share of the library's tracks that have a smaller score, below 1."
    )
    closer_in: ByDimension = Field(
        description="The share that is less alike in each dimension, estimated from 1,000 tracks "
        "of a library that has more."
    )
    versions: list[str] = Field(
        default=[], description="Ids of other versions of the same recording, folded into this hit."
    )
    heard: dict[str, Any] = Field(
        default={},
        description="What was read from its sound, whatever its tags say: tempo, key, tags with "
        "their probabilities.",
    )
    reason: str = Field(default="", description="Why it was found, in a sentence.")


class Request(BaseModel):
    """A body; a field that does not exist is refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Weighted(Request):
    weights: dict[str, float] | None = Field(
        default=None,
        description="By dimension; those not named are 0, or the preset's. Without weights and "
        "preset, all are 1. Negative ones ask for tracks that differ.",
    )
    preset: str | None = Field(default=None, description="The name of saved weights.")
    where: str | None = Field(
        default=None,
        description="A condition such as tempo>120 and genre='Jazz'.",
        max_length=2000,
    )


class SearchRequest(Weighted):
    like: list[str] = Field(
        description="Ids of tracks or uploads, artist:NAME, album:NAME, or words such as "
        "'mood:sad tempo:90' (then give weights for what they say); several form one query.",
        min_length=1,
        max_length=20,
    )
    top: int = Field(default=20, ge=1, le=MAX_TOP)
    max_per_artist: int | None = Field(
        default=None,
        description="Guests do not count, and album artists come first.",
        ge=1,
    )
    max_per_album: int | None = Field(default=None, ge=1)
    all_versions: bool = Field(
        default=False, description="Every version of a recording is a hit of its own."
    )


class SearchAnswer(BaseModel):
    hits: list[Hit]
    query: ByDimension = Field(description="Contributions that the query itself would have.")
    tracks: int = Field(description="How many tracks the library has.")
    milliseconds: float = Field(description="How long the search took.")


class Word(BaseModel):
    """A word about the sound that the library's model knows."""

    dimension: str
    word: str
    like: str = Field(description="What asks for it in a search, such as mood:sad.")


class WordsAnswer(BaseModel):
    known: bool = Field(description="Whether they match the text; else they are the nearest ones.")
    words: list[Word] = Field(description="Empty if the library's model reads nothing.")


class GroupRequest(Weighted):
    like: list[str] = Field(
        description="As in a search.",
        min_length=1,
        max_length=20,
    )
    by: Literal["artist", "album"]
    top: int = Field(default=20, ge=1, le=MAX_TOP)


class Group(BaseModel):
    """An artist or an album; "artist:NAME" or "album:NAME" makes it a query."""

    name: str
    tracks: int = Field(description="How many the library has of it.")
    best: Hit = Field(description="The track with the highest score.")


class GroupAnswer(BaseModel):
    groups: list[Group]
    query: ByDimension = Field(description="Contributions that the query itself would have.")


class Dimension(BaseModel):
    """A similarity dimension: the cosines of random pairs of tracks in its sub-space."""

    name: str
    mean: float
    deviation: float
    speaks: bool = Field(
        description="False if all tracks are alike in it, so that it contributes 0."
    )


class LibraryAnswer(BaseModel):
    name: str
    tracks: int
    version: int = Field(description="Another number after the tracks have changed.")
    edition: str = Field(description="As in the list of all ids.")
    model: str = Field(description="Hash of the model.")
    dimensions: list[Dimension]
    fields: dict[str, Literal["text", "number"]] = Field(
        description="Metadata that at least one track has."
    )


class Preset(Request):
    weights: dict[str, float]
    deviations: dict[str, float] | None = Field(default=None, description="Of fitted weights.")


class Embedded(BaseModel):
    id: str = Field(description="For searches, until the server stops or has 256 newer uploads.")
    name: str
    seconds: float
    embedding: list[float]


class PathRequest(Weighted):
    start: str = Field(description="Id of the first track.")
    end: str = Field(description="Id of the last track.")
    length: int = Field(default=10, description="Number of tracks including both.")
    schedule: dict[str, tuple[float, float]] | None = Field(
        default=None,
        description="By dimension, the shares of the way at which it starts and stops changing; "
        "default: all the way, [0, 1].",
    )


class PlaylistFileRequest(Request):
    tracks: list[str] = Field(description="Ids, in the order of playing.", max_length=1000)
    format: Literal["m3u8", "xspf"] = "m3u8"


class Step(Hit):
    """A track of a playlist: a hit of the search for its targets, and its place on the way."""

    share: float = Field(description="Place on the way: 0 at the first song, 1 at the last.")
    targets: ByDimension = Field(description="How far each dimension should have gone.")
    reached: dict[str, float | None] = Field(
        description="How far it has gone: 0 like the first song, 1 like the last; null if both are "
        "alike."
    )


class Question(BaseModel):
    anchor: Track
    a: Track
    b: Track


class Answer(Request):
    """Ids of the question's tracks, and which of a and b is more like the anchor."""

    anchor: str
    a: str
    b: str
    choice: Literal["a", "b", "skip"]


class JudgeAnswer(BaseModel):
    question: Question
    given: int = Field(description="Answers so far, including skipped ones.")
    fitted: int = Field(description="Answers that the weights are fitted to.")
    weights: ByDimension = Field(description="Scaled so that the mean absolute weight is 1.")
    deviations: ByDimension = Field(description="How uncertain they are: one standard deviation.")
    agreement: float | None = Field(
        description="Share of the answers that weights fitted to all the others predict correctly."
    )


class MapWaiting(BaseModel):
    state: Literal["computing"]


class TrackIds(BaseModel):
    edition: str = Field(
        description="Another text as soon as there are other tracks, or in another order."
    )
    ids: list[str]


class Values(BaseModel):
    """A value per track, in the order of the map."""

    kind: Literal["text", "number"]
    labels: list[str] = Field(description="For texts: what the values are numbers of.")
    values: Sequence[float | None]


class LikenessRequest(SearchRequest):
    by: str = Field(description="A dimension, or 'score'.")


class PlaylistRequest(Request):
    name: str = Field(min_length=1, max_length=200)
    tracks: list[str] = Field(description="Ids of tracks.", min_length=1, max_length=1000)


class MusicServerAnswer(BaseModel):
    server: str | None = Field(description="Its address; null if there is none.")
    user: str | None = Field(description="Whose playlists are made.")


def track(metadata: dict[str, Any], row: int) -> dict[str, Any]:
    """A track with its metadata from a store, except for its path, which is not disclosed."""
    known = {name: value for name, value in metadata.items() if name != "path"}
    api, own = f"{proxies.root()}/api", f"{row}?id={quote(known['id'], safe='')}"
    return {"row": row, "audio": f"{api}/audio/{own}", "art": f"{api}/art/{own}"} | known


def tracks(library: Store, rows: Sequence[int]) -> list[Track]:
    return [Track(**track(m, row)) for m, row in zip(library.metadata(rows), rows, strict=True)]


def weights_of(library: Store, request: Weighted) -> dict[str, float] | None:
    """The preset's weights, overridden by those of the request."""
    return presets.choose(library, request.preset, request.weights)


def hits(
    library: Store, found: Sequence[query.Hit], seeds: Sequence[query.Seed] = ()
) -> list[dict[str, Any]]:
    """What a search with these seeds found, each as the fields of a `Hit`."""
    described = as_json(library, found, seeds)
    return [
        one | {"track": track(one["track"], hit.row)}
        for one, hit in zip(described, found, strict=True)
    ]


def steps(library: Store, playlist: Sequence[paths.Step]) -> list[Step]:
    """The tracks of a playlist."""
    return [
        Step(
            **hit,
            share=step.share,
            targets=library.by_dimension(step.targets),
            reached={
                name: None if math.isnan(way) else way
                for name, way in library.by_dimension(step.reached).items()
            },
        )
        for hit, step in zip(hits(library, playlist), playlist, strict=True)
    ]


def of_the_query(library: Store, seeds: Sequence[query.Seed], weights: query.Weights) -> np.ndarray:
    """float64 [S]: contributions of a track that is the query itself (the mean of several)."""
    parts = subspaces.split(query.seed_vector(library, seeds)[None], len(library.dimensions))[0]
    scales = query.scales(library, query.weight_vector(library, weights))
    return scales * (np.linalg.norm(parts, axis=1) - library.mean)
