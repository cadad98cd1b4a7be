"""The network: features of a segment come in, an embedding goes out.

`plan` says what the network consists of, `subspaces` how the dimensions share the embedding, and
`inception` computes it. Nothing here knows about labels, losses, data sets or files.
"""
