"""Readers of music collections: one module a source, each with `read(path, **options)`."""
