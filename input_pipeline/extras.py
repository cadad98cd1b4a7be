"""The optional parts of an installation, and what to install where one is missing."""

import contextlib
import importlib.util

# What the code imports of each extra in pyproject.toml, beyond what that extra builds on.
MODULES = {
    "train": (
        *("absl", "flax", "jax", "jaxtyping", "jinja2", "librosa", "matplotlib", "ml_collections"),
        *("optax", "orbax", "sklearn", "tensorboardX", "tensorflow", "tensorflow_datasets", "yaml"),
    ),
    "scores": ("midirenderer", "music21", "pretty_midi", "soundfile"),
    "ann": ("usearch",),
    "beam": ("apache_beam",),
    "madmom": ("madmom",),
    "map": ("sklearn",),
    "mirdata": ("mirdata",),
    "qdrant": ("qdrant_client",),
    "safetensors": ("safetensors",),
}


def need(extra: str) -> None:
    """Makes sure that an extra is installed, without importing anything of it.

    Raises:
      ImportError: it is not; the message says what to install.
    """
    if missing := _missing(extra):
        raise ImportError(f"{missing[0]} is missing: this needs `pip install 'jaxsim[{extra}]'`")


def are_there(extra: str) -> bool:
    """Whether an extra is installed, without importing anything of it."""
    return not _missing(extra)


def _missing(extra: str) -> list[str]:
    return [name for name in MODULES[extra] if not _is_there(name)]


def _is_there(module: str) -> bool:
    with contextlib.suppress(ImportError):  # a finder may refuse a module by raising
        return importlib.util.find_spec(module) is not None
    return False
