"""From audio to features: a file or a function that makes samples comes in, arrays go out.

`listening` is the one way; `audio` decodes, `features` extracts, `segments` cuts, `estimates` asks
madmom, `tagging` asks MusiCNN, and `file_tags` reads what files say of themselves. It must not know
data sets or labels.
"""
