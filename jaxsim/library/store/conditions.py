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

A condition becomes SQL with parameters: field names come from the schema, operators from the tables
here, and values never enter the SQL text.
"""

import re
from typing import Any, NoReturn

from input_pipeline.tracks import KEYS, TAG_DIMENSIONS, parse_key
from jaxsim.library.store.schema import METADATA, NUMBERS

NUMBER_OPERATORS = {name: name for name in ("=", "!=", "<", "<=", ">", ">=")}
TEXT_OPERATORS = {"=": "holds({}, ?)", "!=": "NOT holds({}, ?)", "~": "contains({}, ?)"}
KEY_OPERATORS = {"=": "in_key({}, ?)", "!=": "NOT in_key({}, ?)", "~": "goes_with({}, ?)"}
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


def to_sql(condition: str) -> tuple[str, list[Any]]:
    """The condition as an SQL expression over the columns of `tracks`, and its parameters.

    Raises:
      ValueError: it is not a condition; the message says where and what was expected.
    """
    return _Parser(condition).parse()


class _Parser:
    """Recursive descent; every method reads its part and returns it as SQL."""

    def __init__(self, condition: str):
        self.condition = condition
        self.values: list[Any] = []
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

    def parse(self) -> tuple[str, list[Any]]:
        sql = self._either()
        if self._kind() != "end":
            self._refuse(self._text(), '"and", "or" or the end')
        return sql, self.values

    def _either(self) -> str:
        parts = [self._both()]
        while self._skip_word("or"):
            parts.append(self._both())
        return f"({' OR '.join(parts)})"

    def _both(self) -> str:
        parts = [self._negation()]
        while self._skip_word("and"):
            parts.append(self._negation())
        return f"({' AND '.join(parts)})"

    def _negation(self) -> str:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self._refuse(self._text(), f"at most {MAX_DEPTH} nested brackets and negations")
        if self._skip_word("not"):
            sql = f"(NOT {self._negation()})"
        elif self._skip("bracket", "("):
            sql = self._either()
            if not self._skip("bracket", ")"):
                self._refuse(self._text(), '")"')
        else:
            sql = self._comparison()
        self.depth -= 1
        return sql

    def _comparison(self) -> str:
        field = self._take("word", FIELDS, "a field")
        operators = NUMBER_OPERATORS if field in _NUMBERS else TEXT_OPERATORS
        operator = self._take("operator", operators, f"an operator for {field}")
        operator = _SPELLINGS.get(operator, operator)
        kind = "number" if field in _NUMBERS else "text"
        value = self._text()
        if self._kind() not in ("number", kind):
            self._refuse(value, "a number" if kind == "number" else "a text in quotes")
        self.place += 1
        if kind == "number":
            self.values.append(float(value))
            return f"{FIELDS[field]} {operator} ?"
        quote = value[0]
        text = value[1:-1].replace(quote * 2, quote) if quote in "'\"" else value
        templates = TEXT_OPERATORS
        if field in _KEYS:
            text, templates = self._key(text, operator)
        self.values.append(text)
        return templates[operator].format(FIELDS[field])

    def _key(self, text: str, operator: str) -> tuple[str, dict[str, str]]:
        """A key in the spelling of `KEYS`, or the text to look for, and the operators for it."""
        try:
            return KEYS[parse_key(text)], KEY_OPERATORS
        except ValueError:
            if operator != "~":
                self._refuse(text or "''", "a key such as 'A minor', 'Am' or '8A'")
            return text, {operator: "key_named({}, ?)"}

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
