"""What a run keeps in its directory: states come in, and go out again exactly as they were.

A checkpoint is whole or absent, and says how it was trained; what of it is exported is one file.
Nothing here decides when to save.
"""
