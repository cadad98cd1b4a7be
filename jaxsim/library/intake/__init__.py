"""How music gets into a library: folders, manifests and data sets come in, embedded tracks go out.

`sources` finds files, `examination` reads and decodes them in worker processes, `embedding` runs
the network, and `updating` decides what is new. This room must not know how a library is searched.
"""
