"""A library of embedded tracks, and the search in it by example with a weight per dimension."""
