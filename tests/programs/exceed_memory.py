"""Asks for as much memory as a decoder may have, on top of some it has; prints what happens."""

import numpy as np

from jaxsim.library.intake import decoding

decoding.limit()
np.ones(10_000_000)
try:
    np.empty(decoding.MEMORY, np.uint8)
except MemoryError:
    print("refused")
