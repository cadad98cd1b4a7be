"""From audio to features: a file or a function that makes samples comes in, arrays go out.

`listening` is the one way; `audio` decodes, `features` extracts, `segments` cuts, `estimates` asks
madmom, and `tagging` asks MusiCNN. `file_tags` says what a file's tags mean, and `raw_tags` what is
written in them; `tag_writing` writes some. It must not know data sets or labels.
"""
