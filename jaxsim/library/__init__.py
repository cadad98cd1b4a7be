"""A library of embedded tracks, searched by example with a weight per dimension.

`intake` brings music in, `store` keeps it, `search` finds it, and `service` shows it on a page.
Nothing here may know how a model is trained or evaluated.
"""

from jaxsim.library.search import query as query
