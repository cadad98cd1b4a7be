"""Search by example: tracks and weights come in, hits with what each dimension contributes go out.

`query` is the exact search; `index`, `paths`, `preferences`, `projection` and `exports` build on
it. This room needs NumPy and the store, and must not know JAX, TensorFlow, HTTP or audio.
"""
