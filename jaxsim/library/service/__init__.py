"""A library over HTTP: requests come in; JSON, audio and the page go out.

`app` brings the requests together, `guard` stands in front of them, and `uploads` has untrusted
files decoded by a process that may die. Searching, scoring and saving are left to other rooms.
"""
