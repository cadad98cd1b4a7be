"""Named weights in the store: chosen by hand, or fitted to a listener's answers."""

from collections.abc import Mapping

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
      ValueError: the name is empty or too long, a dimension is unknown, or a weight is not finite.
    """
    if not name.strip() or len(name) > 100:
        raise ValueError(f"preset: its name is {name!r}, expected 1 to 100 characters")
    content = {"weights": store.by_dimension(query.weight_vector(store, weights))}
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


def load_all(store: Store) -> dict[str, dict[str, dict[str, float]]]:
    """All current presets by name: "weights", and "deviations" of fitted ones."""
    return saved.presets(store.path)


def delete(store: Store, name: str) -> None:
    """Removes a preset; raises ValueError if there is none with this name."""
    load(store, name)
    saved.delete_preset(store.path, name)
