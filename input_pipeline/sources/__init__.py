"""Readers of music collections: files of a data set or a folder come in, a `Collection` goes out.

One module per source, each with `read(path, **options)`; what cannot be used is a problem and stops
nothing. None of them reads audio, or knows what becomes of its tracks.
"""
