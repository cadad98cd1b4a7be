"""jaxsim: learns how two pieces of music are alike, in each of several similarity dimensions."""

from typing import TYPE_CHECKING

__version__: str

if not TYPE_CHECKING:  # else a type checker would accept any name as an attribute

    def __getattr__(name: str) -> str:
        """The version, looked up on access; "unknown" where jaxsim is not installed."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib.metadata

        try:
            return importlib.metadata.version("jaxsim")
        except importlib.metadata.PackageNotFoundError:  # run from a checkout
            return "unknown"
