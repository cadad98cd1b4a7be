"""The names that README gives to programs; wherever modules lie, these stay."""

import importlib

import pytest

NAMES = {
    "jaxsim": ["__version__"],
    "jaxsim.numpy_model": ["SCORES", "SHIPPED", "Model", "load"],
    "jaxsim.library": ["query", "store"],  # as `from jaxsim.library import query, store`
    "jaxsim.library.store": ["Store", "describe", "name_of", "open"],
    "jaxsim.library.query": ["search", "seed_vector", "vector", "weight_vector", "offset"],
}


@pytest.mark.parametrize("module", NAMES)
def test_names_that_programs_use(module: str) -> None:
    if module == "jaxsim.library.query":
        from jaxsim.library import query as found
    else:
        found = importlib.import_module(module)
    missing = [name for name in NAMES[module] if not hasattr(found, name)]
    assert not missing
