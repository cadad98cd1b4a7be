"""What a run keeps in its directory: states go in, and come out again exactly as they were.

A checkpoint is complete or absent, and says how it was trained; an exported model is one file.
Nothing here decides when to save.
"""
