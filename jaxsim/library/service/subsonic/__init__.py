"""What players ask for: OpenSubsonic's similar songs and sonic similarity.

A request is a `parameters.Parameters`, an answer the protocol's envelope (`answers`). `methods` has
what is computed from the library; `standalone` answers in our own ids, `gateway` in those of a
music server, to which it passes everything else.
"""
