"""Which pieces in music21's corpus are candidates, per genre; nothing is parsed here."""

import dataclasses
import importlib.util
import re
from collections.abc import Callable, Mapping
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One piece of the corpus, not yet parsed.

    Attributes:
      piece_id: unique in the corpus.
      genre, title, artist: labels.
      notation: "abc" (`text` is the tune), "musicxml" or "humdrum" (`path` is the file).
    """

    piece_id: str
    genre: str
    title: str
    artist: str
    notation: str
    path: Path
    text: str = ""


@dataclasses.dataclass(frozen=True)
class Genre:
    """A genre of the corpus.

    Attributes:
      description: which pieces these are.
      beats: felt beat, in quarter notes, for every accepted time signature.
      parts: least and greatest accepted number of parts.
      candidates: returns all candidates, in a fixed order.
    """

    description: str
    beats: Mapping[str, float]
    parts: tuple[int, int]
    candidates: Callable[[], list[Candidate]]


def corpus_folder() -> Path:
    """Finds the folder of music21's corpus without importing music21.

    Raises:
      ModuleNotFoundError: music21 is not installed.
    """
    found = importlib.util.find_spec("music21")
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError(
            "music21 is not installed, and the scores come with it: pip install 'jaxsim[scores]'"
        )
    return Path(found.submodule_search_locations[0]) / "corpus"


def _chorales() -> list[Candidate]:
    # Cantata movements not in music21's list of chorales have instrumental parts.
    from music21.corpus.chorales import ChoraleListRKBWV

    titles = {number: entry["title"] for number, entry in ChoraleListRKBWV().byBWV.items()}
    return [
        Candidate(f"bwv{number}", "chorale", title, "Johann Sebastian Bach", "musicxml", path)
        for number, title in sorted(titles.items())
        if (path := corpus_folder() / "bach" / f"bwv{number}.mxl").is_file()
    ]


def _masses() -> list[Candidate]:
    # Movements of one mass share themes, so `selection` takes one from each mass, by title.
    found = []
    for path in sorted((corpus_folder() / "palestrina").glob("*.krn")):
        text = path.read_text(encoding="utf-8", errors="replace")
        mass, movement = (
            re.search(rf"^!!!{tag}: *(.*)$", text, re.MULTILINE) for tag in ("OPR", "OTL")
        )
        if mass and movement:
            title = f"{mass[1].strip()}: {movement[1].strip()}"
            artist = "Giovanni Pierluigi da Palestrina"
            found.append(
                Candidate(_slug(path.stem), "mass movement", title, artist, "humdrum", path)
            )
    return found


def _tunes(genre: str, artist: str, files: str) -> list[Candidate]:
    """Lists the tunes in all ABC files that match a pattern, split at their `X:` lines."""
    found = []
    for path in sorted(corpus_folder().glob(files)):
        book = path.read_text(encoding="utf-8", errors="replace")
        for number, text in enumerate(re.split(r"(?m)^(?=X:)", book)[1:], start=1):
            title = _field(text, "T")
            piece_id = _slug(f"{path.parent.name}-{path.stem}-{number}")
            found.append(Candidate(piece_id, genre, title, artist, "abc", path, text))
    return found


def _ryan(genre: str, pattern: str) -> list[Candidate]:
    tunes = _tunes(genre, "Ryan's Mammoth Collection", "ryansMammoth/*.abc")
    return [tune for tune in tunes if re.fullmatch(pattern, _field(tune.text, "R").lower())]


def _jigs() -> list[Candidate]:
    ryan = _ryan("jig", "jig")
    oneill = _tunes("jig", "O'Neill's Music of Ireland", "oneills1850/*.abc")
    return ryan + [tune for tune in oneill if _field(tune.text, "R").lower() == "jig"]


def _folk_songs() -> list[Candidate]:
    # Collections from Germany and its neighbours; erk5 and test*.abc are duplicates and samples.
    books = re.compile(r"altdeu|ballad|boehme|dva|erk[123]0|fink|kinder|zuccal")
    tunes = _tunes("folk song", "Essen folk song collection", "essenFolksong/*.abc")
    return [tune for tune in tunes if books.match(tune.path.stem)]


def _field(text: str, letter: str) -> str:
    found = re.search(rf"^{letter}:(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")


GENRES = {
    "chorale": Genre(
        "four-part chorale harmonisation by J. S. Bach", {"4/4": 1, "3/4": 1}, (4, 4), _chorales
    ),
    "mass movement": Genre(
        "mass movement by Palestrina: imitative polyphony in three to eight parts",
        {"4/2": 2, "2/2": 2},
        (3, 8),
        _masses,
    ),
    "folk song": Genre(
        "German folk song from the Essen collection: one part, in 2/4, 3/4 or 4/4",
        {"2/4": 1, "3/4": 1, "4/4": 1},
        (1, 1),
        _folk_songs,
    ),
    "reel": Genre(
        "reel from Ryan's Mammoth Collection: one part, four even notes to the beat",
        {"2/4": 1, "2/2": 2},
        (1, 1),
        lambda: _ryan("reel", "reel"),
    ),
    "jig": Genre(
        "jig from Ryan's or O'Neill's collection: one part, in 6/8", {"6/8": 1.5}, (1, 1), _jigs
    ),
    # These dances are counted in four, however notated; dotted notes set them apart.
    "strathspey": Genre(
        "strathspey, highland fling or clog from Ryan's collection: one part, dotted rhythms",
        {"4/4": 1, "2/2": 1},
        (1, 1),
        lambda: _ryan("strathspey", "strathspey|(highland )?fling|clog"),
    ),
}
