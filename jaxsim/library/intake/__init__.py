"""How music gets into a library: folders, manifests and data sets come in, embedded tracks go out.

`sources` finds files, `examination` reads and hears them in worker processes, `embedding` runs the
network, and `updating` decides what is new. It must not know how a library is searched.
"""
