"""What an update of a library did, for programs and in words."""

import collections
import dataclasses
import re
import unicodedata
from collections.abc import Mapping


@dataclasses.dataclass
class Report:
    """What an update did.

    Attributes:
      unchanged: tracks that had not changed.
      embedded: tracks that went through the network.
      copied: files whose content was known under another name.
      moved: tracks whose files were found elsewhere.
      retagged: tracks whose files changed, though not their audio.
      gone: tracks that were hidden because their file is gone.
      forgotten: tracks that were pruned.
      seconds: duration of the audio that went through the network.
      skipped: reasons by path of the file, or by place in a manifest or data set.
      remembered: how many of these were not heard again, because nothing has changed.
      notes: what is odd about files that were heard, by path.
      ignored: how many files were not taken for music, by reason.
      labels_left_out: reasons, by place in a manifest, for rows that only lost a label.
      missing: tracks whose file is missing, but which were not hidden.
      unheard: tracks that were embedded before there were readings.
      faults: why tracks whose files are missing were not taken for gone.
    """

    unchanged: int = 0
    embedded: int = 0
    copied: int = 0
    moved: int = 0
    retagged: int = 0
    gone: int = 0
    forgotten: int = 0
    seconds: float = 0.0
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    remembered: int = 0
    notes: dict[str, str] = dataclasses.field(default_factory=dict)
    ignored: Mapping[str, int] = dataclasses.field(default_factory=dict)
    labels_left_out: dict[str, str] = dataclasses.field(default_factory=dict)
    missing: int = 0
    unheard: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)

    def describe(self) -> str:
        """What was done, and what was left out and why: all that was seen is in the last lines."""
        lines = [f"{note}: {path}" for path, note in sorted(self.notes.items())]
        lines += [f"{reason}: {place}" for place, reason in sorted(self.skipped.items())]
        lines += [
            f"label left out: {reason}: {place}"
            for place, reason in sorted(self.labels_left_out.items())
        ]
        lines += self.faults
        kinds = collections.Counter(kind_of(reason) for reason in self.skipped.values())
        lines.append(counted("refused", kinds))
        lines.append(counted("ignored", self.ignored))
        counts = {
            "embedded": self.embedded,
            "copied (same content)": self.copied,
            "moved": self.moved,
            "retagged": self.retagged,
            "unchanged": self.unchanged,
            "gone (hidden)": self.gone,
            "missing (kept)": self.missing,
            "forgotten": self.forgotten,
            "refused": len(self.skipped),
            "ignored": sum(self.ignored.values()),
        }
        lines.append(", ".join(f"{number} {name}" for name, number in counts.items() if number))
        if self.unheard:
            lines.append(
                f"{self.unheard} tracks of an older version have no readings (tempo, key, tags) "
                "until they are embedded again, into a new store"
            )
        return "\n".join(_printable(line) for line in lines if line)


def _printable(line: str) -> str:
    """A line in which the names of files cannot break it or write over it."""

    def shown(letter: str) -> bool:
        return letter.isprintable() or unicodedata.category(letter) == "Zs"

    return "".join(
        letter if shown(letter) else letter.encode("unicode_escape").decode() for letter in line
    )


def kind_of(reason: str) -> str:
    """A reason without what differs from file to file."""
    unnamed = re.sub(r""" (['"]).*?\1(?= is already)""", "", reason)
    return re.split(r"""[:(,]| up to | by | is (?=['"\d-])""", unnamed, maxsplit=1)[0].strip()


def counted(name: str, counts: Mapping[str, int]) -> str:
    """A line with the numbers of everything, the most first; empty if there is nothing."""
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return f"{name}: {', '.join(f'{kind} {count}' for kind, count in most)}" if most else ""
