"""A decoder that says it is ready and answers nothing: decode_for_ever.py FILE

The process id of its child goes to the file.
"""

import subprocess
import sys
import time
from pathlib import Path

print("{}", flush=True)
sys.stdin.readline()
child = subprocess.Popen(["sleep", "60"])
Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(60)
