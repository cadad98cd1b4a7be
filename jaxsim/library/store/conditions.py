"""Conditions on metadata, such as `tempo>120 and (genre='Jazz' or artist~'coltrane')`.

    condition  = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation   = [ "not" ] ( comparison | "(" condition ")" )
    comparison = field operator value

Numbers (`year`, `tempo`, `seconds`, `track_number`, `disc_number`, and `compilation`, which is 1 or
0) are compared by = != < <= > >=. Texts are compared by = and != with any of their values (";"
separates them), and by ~ (contains), ignoring case, accents and what keyboards do not have. A value
is a number or a text in quotes, in which a doubled quote stands for a quote. An unknown value never
matches.

Keys are compared as keys, whatever their spelling: `key='8A'`, `key='Am'` and `key='A minor'` are
the same, and `key~'8A'` finds the keys that go with it when DJs mix (8A, 8B, 7A and 9A). What is no
key, such as 'minor', is looked for by ~ in the names of the keys.

Where a file has no tag, what was heard counts: `tempo>120` reads the tag where there is one and the
reading otherwise, and so do `key`, `genre`, `mood`, `instrument` and `era`. `tag.tempo` is the tag
alone and `heard.tempo` the reading alone; `heard.tempo_confidence` and `heard.key_confidence` are
its probability. A tag counts as heard from a probability of `matching.PROBABLE` on.

Conditions are tested on columns: a field of every track (`Column`), numbers by NumPy, and of texts
each different one once. Names and values of a condition never enter SQL.
"""

import functools
import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from input_pipeline.tracks import KEYS, TAG_DIMENSIONS, parse_key
from jaxsim.library.store import matching
from jaxsim.library.store.schema import METADATA, NUMBERS

NUMBER_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TextTest = Callable[[str, str], bool | None]  # of a value and what is wanted
TEXT_OPERATORS: dict[str, TextTest] = {
    "=": matching.holds,
    "!=": matching.holds,  # and the contrary of what it says
    "~": matching.contains,
}
KEY_OPERATORS: dict[str, TextTest] = {
    "=": matching.in_key,
    "!=": matching.in_key,
    "~": matching.goes_with,
}
MAX_LENGTH = 2000  # characters
MAX_DEPTH = 20  # of brackets and negations

_TOKEN = re.compile(
    r"""\s*(?: (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
             | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?![\w.]))
             | (?P<word>[A-Za-z_]+(?:\.[A-Za-z_]+)?)
             | (?P<operator><=|>=|!=|<>|==|[<>=~])
             | (?P<bracket>[()]) )""",
    re.VERBOSE,
)
_HEARD = {"tempo": "heard_tempo", "key": "heard_key"} | {
    name: f"heard_as(heard_tags, '{name}')" for name in TAG_DIMENSIONS
}
# SQL of every field that a condition may name, and those that are numbers.
FIELDS = (
    {name: f"coalesce({name}, {_HEARD[name]})" if name in _HEARD else name for name in METADATA}
    | {f"tag.{name}": name for name in _HEARD}
    | {f"heard.{name}": sql for name, sql in _HEARD.items()}
    | {f"heard.{name}_confidence": f"heard_{name}_confidence" for name in ("tempo", "key")}
)
_NUMBERS = {*NUMBERS, "tag.tempo", "heard.tempo", "heard.tempo_confidence", "heard.key_confidence"}
_KEYS = {"key", "tag.key", "heard.key"}
_SPELLINGS = {"<>": "!=", "==": "="}


class Column(NamedTuple):
    """A field of N tracks.

    Attributes:
      values: float64 [N] numbers, nan where unknown; or int32 [N] of texts, which of `texts` each
        is, -1 where unknown.
      texts: the different texts; empty for numbers.
    """

    values: np.ndarray
    texts: tuple[str, ...] = ()


class Truth(NamedTuple):
    """Which tracks meet a condition and which do not, bool [N]; neither where it is unknown."""

    holds: np.ndarray
    fails: np.ndarray


Columns = Callable[[str], Column]  # by the names in `FIELDS`
Test = Callable[[Columns], Truth]


def is_number(field: str) -> bool:
    """Whether a field, one of `FIELDS`, is a number; all others are texts."""
    return field in _NUMBERS


def parse(condition: str) -> Test:
    """Reads a condition, which can then be tested on any tracks.

    Raises:
      ValueError: it is not a condition; the message says where and what was expected.
    """
    return _Parser(condition).parse()


def _all(tests: list[Test]) -> Test:
    def test(columns: Columns) -> Truth:
        holds, fails = zip(*(each(columns) for each in tests), strict=True)
        return Truth(
            functools.reduce(np.logical_and, holds), functools.reduce(np.logical_or, fails)
        )

    return tests[0] if len(tests) == 1 else test


def _not(test: Test) -> Test:
    return lambda columns: Truth(*reversed(test(columns)))


def _any(tests: list[Test]) -> Test:
    return tests[0] if len(tests) == 1 else _not(_all([_not(test) for test in tests]))


def _number_test(field: str, compare: Callable[[Any, Any], Any], wanted: float) -> Test:
    def test(columns: Columns) -> Truth:
        values = columns(field).values
        holds = compare(values, wanted) & ~np.isnan(values)
        return Truth(holds, ~holds & ~np.isnan(values))

    return test


def _text_test(field: str, compare: TextTest, wanted: str) -> Test:
    def test(columns: Columns) -> Truth:
        values, texts = columns(field)
        found = [compare(text, wanted) for text in texts]
        holds = np.array([*(one is True for one in found), False])  # the last for -1, unknown
        fails = np.array([*(one is False for one in found), False])
        return Truth(holds[values], fails[values])

    return test


class _Parser:
    """Recursive descent; every method reads its part and returns the test of it."""

    def __init__(self, condition: str):
        self.condition = condition
        if len(condition) > MAX_LENGTH:
            raise ValueError(
                f"where: has {len(condition)} characters, expected at most {MAX_LENGTH}"
            )
        self.tokens = self._tokens()
        self.place = self.depth = 0

    def _tokens(self) -> list[tuple[str, str]]:
        tokens, position, end = [], 0, len(self.condition.rstrip())
        while position < end:
            match = _TOKEN.match(self.condition, position)
            if match is None:
                self._refuse(self.condition[position:].strip(), "a field, operator or value")
            kind = str(match.lastgroup)
            tokens.append((kind, match[kind].lower() if kind == "word" else match[kind]))
            position = match.end()
        return [*tokens, ("end", "")]

    def parse(self) -> Test:
        test = self._either()
        if self._kind() != "end":
            self._refuse(self._text(), '"and", "or" or the end')
        return test

    def _either(self) -> Test:
        parts = [self._both()]
        while self._skip_word("or"):
            parts.append(self._both())
        return _any(parts)

    def _both(self) -> Test:
        parts = [self._negation()]
        while self._skip_word("and"):
            parts.append(self._negation())
        return _all(parts)

    def _negation(self) -> Test:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._refuse(self._text(), f"at most {MAX_DEPTH} nested brackets and negations")
        if self._skip_word("not"):
            test = _not(self._negation())
        elif self._skip("bracket", "("):
            test = self._either()
            if not self._skip("bracket", ")"):
                self._refuse(self._text(), '")"')
        else:
            test = self._comparison()
        self.depth -= 1
        return test

    def _comparison(self) -> Test:
        field = self._take("word", FIELDS, "a field")
        operators: dict[str, Any] = NUMBER_OPERATORS if is_number(field) else TEXT_OPERATORS
        name = self._take("operator", operators, f"an operator for {field}")
        name = _SPELLINGS.get(name, name)
        kind = "number" if is_number(field) else "text"
        value = self._text()
        if self._kind() not in ("number", kind):
            self._refuse(value, "a number" if kind == "number" else "a text in quotes")
        self.place += 1
        if kind == "number":
            return _number_test(field, NUMBER_OPERATORS[name], float(value))
        quote = value[0]
        text = value[1:-1].replace(quote * 2, quote) if quote in "'\"" else value
        compare = TEXT_OPERATORS[name]
        if field in _KEYS:
            text, compare = self._key(text, name)
        test = _text_test(field, compare, text)
        return _not(test) if name == "!=" else test

    def _key(self, text: str, name: str) -> tuple[str, TextTest]:
        """A key in the spelling of `KEYS`, or the text to look for, and how."""
        try:
            return KEYS[parse_key(text)], KEY_OPERATORS[name]
        except ValueError:
            if name != "~":
                self._refuse(text or "''", "a key such as 'A minor', 'Am' or '8A'")
            return text, matching.key_named

    def _take(self, kind: str, allowed: Any, expected: str) -> str:
        found = self._text()
        if self._kind() != kind or _SPELLINGS.get(found, found) not in allowed:
            self._refuse(self._text(), f"{expected}: one of {', '.join(allowed)}")
        self.place += 1
        return found

    def _skip_word(self, word: str) -> bool:
        return self._skip("word", word)

    def _skip(self, kind: str, text: str) -> bool:
        found = self.tokens[self.place] == (kind, text)
        self.place += found
        return found

    def _kind(self) -> str:
        return self.tokens[self.place][0]

    def _text(self) -> str:
        return self.tokens[self.place][1]

    def _refuse(self, found: str, expected: str) -> NoReturn:
        raise ValueError(
            f"where: {self.condition!r} has {found[:40]!r}, expected {expected}"
            if found
            else f"where: {self.condition!r} ends too early, expected {expected}"
        )
