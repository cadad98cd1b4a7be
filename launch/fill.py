"""Prints a manifest with its ${NAME} fields filled in from the environment, and ${ARGUMENTS}.

python3 launch/fill.py launch/jobset_tpu.yaml [ARGUMENTS]; needs only the standard library.
"""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

NUMBERS = ("CHIPS", "HOSTS", "RESTARTS")


def fill(template: str, environment: Mapping[str, str], arguments: Sequence[str]) -> str:
    """The template with its fields filled in; ${ARGUMENTS} becomes a JSON list, which is YAML.

    Raises:
      ValueError: a field has no value, or one that could change the manifest's structure.
    """

    def value(field: re.Match) -> str:
        name = field[1]
        if name == "ARGUMENTS":
            # Kubernetes expands $(NAME) in arguments; $$( escapes $(.
            return json.dumps([argument.replace("$(", "$$(") for argument in arguments])
        found = environment.get(name, "")
        pattern, expected = r"[\w./:@-]+", "letters, digits and _ . / : @ -"
        if name in NUMBERS:
            pattern, expected = "[0-9]+", "a number"
        if not re.fullmatch(pattern, found, re.ASCII):
            raise ValueError(f"{name} is {found!r}, expected {expected}")
        return found

    return re.sub(r"\$\{(\w+)\}", value, template)


if __name__ == "__main__":
    try:
        print(fill(Path(sys.argv[1]).read_text(), os.environ, sys.argv[2:]), end="")
    except ValueError as error:
        sys.exit(f"error: {error}")
