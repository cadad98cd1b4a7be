"""A library of embedded tracks, and the search in it by example with a weight per dimension.

Music comes in by `intake`, lies in a `store` and is found by `search`; `service` shows it
on a page. Nothing here must know how a model is trained or judged.
"""

from jaxsim.library.search import query as query
