"""Named weights in the store: chosen by hand, or fitted to a listener's answers."""

from collections.abc import Mapping

import numpy as np

from jaxsim.library.search import query
from jaxsim.library.store import Store, saved


def save(
    store: Store,
    name: str,
    weights: Mapping[str, float],
    *,
    deviations: Mapping[str, float] | None = None,
) -> None:
    """Writes a preset, replacing any with the same name.

    Args:
      store: the library.
      name: the preset's name.
      weights: by dimension; those not named are 0.
      deviations: how uncertain fitted weights are, by dimension.

    Raises:
      ValueError: the name is empty or too long, a dimension is unknown, a weight is not finite, or
        all of them are 0.
    """
    if not name.strip() or len(name) > 100:
        raise ValueError(f"preset: its name is {name!r}, expected 1 to 100 characters")
    content = {"weights": store.by_dimension(_checked(store, weights))}
    if deviations is not None:
        content["deviations"] = {key: float(value) for key, value in deviations.items()}
    saved.save_preset(store.path, name, content)


def load(store: Store, name: str) -> dict[str, float]:
    """The weights of a preset, by dimension.

    Raises:
      ValueError: there is no preset with this name; the message lists the existing ones.
    """
    found = load_all(store)
    if name not in found:
        raise ValueError(f"preset {name!r}: unknown, expected one of {sorted(found)}")
    return found[name]["weights"]


def choose(
    store: Store, name: str | None, weights: Mapping[str, float] | None
) -> dict[str, float] | None:
    """The weights of the preset `name`, if there is a name, overridden by `weights`.

    Returns:
      By dimension; None, for equal weights, if there is neither.

    Raises:
      ValueError: as `load` and `query.weight_vector` do; or all weights are 0, so that every track
        would have the score 0.
    """
    chosen = load(store, name) if name else None
    if weights is not None:
        chosen = (chosen or {}) | dict(weights)
    if chosen is not None:
        _checked(store, chosen)
    return chosen


def _checked(store: Store, weights: Mapping[str, float]) -> np.ndarray:
    vector = query.weight_vector(store, weights)
    if not vector.any():
        raise ValueError(
            "weights: all are 0, so that no track is more alike than any other; expected at least "
            "one that is not"
        )
    return vector


def load_all(store: Store) -> dict[str, dict[str, dict[str, float]]]:
    """All current presets by name: "weights", and "deviations" of fitted ones."""
    return saved.presets(store.path)


def delete(store: Store, name: str) -> None:
    """Removes a preset; raises ValueError if there is none with this name."""
    load(store, name)
    saved.delete_preset(store.path, name)
