"""Readers of music collections: one module per source, each with `read(path, **options)`."""
