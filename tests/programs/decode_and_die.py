"""A decoder that says it is ready and dies: decode_and_die.py asked|unasked"""

import os
import sys

print("{}", flush=True)
if sys.argv[1] == "unasked":
    sys.exit(1)
sys.stdin.readline()
os.abort()
