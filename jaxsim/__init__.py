"""jaxsim: learns how two pieces of music are alike, in each of several similarity dimensions."""

from typing import TYPE_CHECKING

__version__: str

if not TYPE_CHECKING:  # or every name would be taken for one that this module has

    def __getattr__(name: str) -> str:
        """The version, looked up when it is asked for; "unknown" where jaxsim is not installed."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib.metadata

        try:
            return importlib.metadata.version("jaxsim")
        except importlib.metadata.PackageNotFoundError:  # run from a checkout
            return "unknown"
