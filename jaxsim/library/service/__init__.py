"""A library over HTTP: requests come in; JSON, audio and the page go out.

`app` puts the requests together, `guard` stands before them, and `uploads` has untrusted files
decoded by a process that may die. Whatever is searched, scored or saved is done by other rooms.
"""
