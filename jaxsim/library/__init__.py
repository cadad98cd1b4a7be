"""A library of embedded tracks, searched by example with a weight per dimension.

`intake` brings music in, `store` keeps it, `search` finds it, and `service` shows it on a page.
Nothing here may know how a model is trained or evaluated.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxsim.library.search import query as query
else:

    def __getattr__(name: str) -> ModuleType:
        """`query`, imported on access: who only asks a command for --help need not wait for it."""
        if name != "query":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return importlib.import_module("jaxsim.library.search.query")
