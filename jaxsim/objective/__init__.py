"""What is learned: embeddings and labels of a batch come in, sums and weights of losses go out.

Losses and mining are written for one dimension, and `terms` maps them over all. Nothing here knows
how embeddings are computed, what an optimiser does with the losses, or where a batch comes from.
"""
