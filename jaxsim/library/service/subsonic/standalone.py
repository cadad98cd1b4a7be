"""Answers in the ids that a music server has for the files, as far as they are known, or in ours.

`jaxsim.embed --subsonic=URL` makes them known. Requests may name tracks by either.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from starlette.responses import Response

from jaxsim.library.search import groups
from jaxsim.library.search.query import Hit, Seed
from jaxsim.library.service import art, playing
from jaxsim.library.service.shared import Shared
from jaxsim.library.service.subsonic import methods
from jaxsim.library.service.subsonic.answers import NOT_FOUND, Refused
from jaxsim.library.service.subsonic.parameters import Parameters


def ping(_: Shared, __: Parameters) -> dict[str, Any]:
    """Confirms that the server is running."""
    return {}


def license_(_: Shared, __: Parameters) -> dict[str, Any]:
    """Says that nothing has to be paid."""
    return {"license": {"valid": True}}


def extensions(_: Shared, __: Parameters) -> dict[str, Any]:
    """Lists the extensions."""
    listed = [{"name": name, "versions": list(v)} for name, v in methods.EXTENSIONS.items()]
    return {"openSubsonicExtensions": listed}


def similar_songs(here: Shared, given: Parameters) -> dict[str, Any]:
    """Songs that sound like a song, an album or an artist (id), the most alike first."""
    return {"similarSongs": {"song": _similar_songs(here, given)}}


def similar_songs2(here: Shared, given: Parameters) -> dict[str, Any]:
    """The same, by tags."""
    return {"similarSongs2": {"song": _similar_songs(here, given)}}


def similar_tracks(here: Shared, given: Parameters) -> dict[str, Any]:
    """Tracks that sound alike. similarity, by the weights: 1 is equal, 0 the most different."""
    seeds = _seeds(here, given.need("id"))
    found = methods.similar(here.library, seeds, given, default=10)
    return _matches(here, given, found, seeds)


def sonic_path(here: Shared, given: Parameters) -> dict[str, Any]:
    """Tracks on the way from one to another. similarity, by the weights, is to the first one."""
    ends = [_row(here, given.need(name)) for name in ("startSongId", "endSongId")]
    found = methods.way(here.library, ends[0], ends[1], given)
    return _matches(here, given, found, ends[:1])


def cover_art(here: Shared, given: Parameters) -> Response:
    """The picture of a song's album, as it is in the files."""
    name = given.need("id")
    try:
        found = art.of(here.library, _row(here, name))
    except playing.NotPlayable as error:
        raise Refused(NOT_FOUND, str(error)) from None
    if found is None:
        raise Refused(NOT_FOUND, f"{name!r}: the song has no picture")
    return Response(found[0], media_type=found[1])


ANSWERS: dict[str, Callable[[Shared, Parameters], dict[str, Any] | Response]] = {
    "ping": ping,
    "getLicense": license_,
    "getOpenSubsonicExtensions": extensions,
    "getSimilarSongs": similar_songs,
    "getSimilarSongs2": similar_songs2,
    "getSonicSimilarTracks": similar_tracks,
    "findSonicPath": sonic_path,
    "getCoverArt": cover_art,
}


def _similar_songs(here: Shared, given: Parameters) -> list[dict[str, Any]]:
    found = methods.similar(here.library, _seeds(here, given.need("id")), given, default=50)
    return [entry for _, entry in _entries(here, found)]


def _matches(
    here: Shared, given: Parameters, found: list[Hit], seeds: Sequence[Seed]
) -> dict[str, Any]:
    weights = methods.weights_of(here.library, given)
    matches = [
        methods.match(here.library, weights, hit, entry, seeds)
        for hit, entry in _entries(here, found)
    ]
    return {"sonicMatch": matches}


def _entries(here: Shared, found: list[Hit]) -> list[tuple[Hit, dict[str, Any]]]:
    tracks = here.library.metadata([hit.row for hit in found])
    names = [here.server_ids.get(track["path"], track["id"]) for track in tracks]
    entries = map(methods.entry, tracks, names)
    return list(zip(found, entries, strict=True))


def _seeds(here: Shared, name: str) -> list[Seed]:
    rows = None
    if here.library.row_of(name) is None:
        with contextlib.suppress(ValueError):
            rows = groups.members(here.library, name)
    return [_row(here, name)] if rows is None else [*rows]


def _row(here: Shared, name: str) -> int:
    row = here.library.row_of(name)
    if row is None and name in here.paths_of_server_ids:
        row = here.library.row_of_path(here.paths_of_server_ids[name])
    if row is None:
        raise methods.unknown(name)
    return row


def refuse(method: str) -> Refused:
    """The refusal of a method that is not known."""
    return Refused(0, f"{method!r} is not a method of this server")
