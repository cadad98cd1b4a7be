"""A library on disk: `open` it to read it.

`schema` defines what is on disk, `snapshot` reads it, `writing` writes tracks, `saved` keeps
presets and answers, `conditions` tests conditions on metadata, and `matching` says when
texts are the same. No other module touches the database.
"""

from jaxsim.library.store.schema import (
    DESCRIPTION,
    METADATA,
    MODEL,
    NUMBERS,
    TEXTS,
    describe,
    read_description,
)
from jaxsim.library.store.snapshot import Store, name_of, open

__all__ = [
    "DESCRIPTION",
    "METADATA",
    "MODEL",
    "NUMBERS",
    "TEXTS",
    "Store",
    "describe",
    "name_of",
    "open",
    "read_description",
]
