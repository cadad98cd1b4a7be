"""`python -m launch.check` on an altered machine: check_launch.py CHANGE OPTIONS

without_libtpu: as if the TPU compiler were not installed
nothing: unchanged
"""

import importlib.util
import runpy
import sys

_, change, *options = sys.argv
if change == "without_libtpu":
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name == "libtpu" else find(name, *rest)
elif change != "nothing":
    sys.exit(f"unknown change {change!r}")
sys.argv = ["launch.check", *options]
runpy.run_module("launch.check", run_name="__main__", alter_sys=True)
