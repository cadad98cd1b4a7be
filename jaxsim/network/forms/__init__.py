"""The network's operations, in the form that suits each platform: maps come in, maps go out.

Each equals the plain operation of the papers and says what makes it faster. None of them knows
which layer of the network uses it.
"""
