"""From tracks to batches: tracks with their audio come in, NumPy batches go out.

`builder` writes a data set by way of `workers`, `dataset` reads it, and `batches` composes what a
step of training sees. It must not know sources, devices or JAX.
"""
