"""How music gets into a library: folders, manifests and data sets come in, embedded tracks go out.

`sources` finds files, `comparison` decides what is new, `examination` reads and decodes files in
worker processes, `embedding` runs the network, `additions` takes what it gives into the store, and
`updating` is all of it. This room must not know how a library is searched.
"""
