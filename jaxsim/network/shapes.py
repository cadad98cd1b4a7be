"""The device axis, and checked shapes.

Shapes are jaxtyping annotations, which the tests enforce and production runs skip.
"""

import os
from collections.abc import Callable
from typing import TypeVar

import jaxtyping

Function = TypeVar("Function", bound=Callable)

DEVICE_AXIS = "data"  # the axis over which functions of one device are mapped


def checked(function: Function) -> Function:
    """Checks `function`'s jaxtyping annotations at every call if JAXSIM_CHECK_SHAPES is set."""
    if not os.environ.get("JAXSIM_CHECK_SHAPES"):
        return function
    import beartype

    return jaxtyping.jaxtyped(typechecker=beartype.beartype)(function)
