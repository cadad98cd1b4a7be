"""Adds tracks to a store, seven at a time, until it is killed: write_for_ever.py STORE"""

import sys

from jaxsim.library.store import writing
from jaxsim.network import subspaces
from tests.helpers.libraries import describe, entry, random_vectors

vectors = subspaces.normalised(random_vectors(100_000), 3)
with writing.open(sys.argv[1], describe(), b"model") as writer:
    start = len(writer.known())
    for first in range(start, 100_000, 7):
        writer.add([entry(i, vectors[i]) for i in range(first, first + 7)])
        print(first, flush=True)
