"""`python -m launch.check` on a changed machine: check_launch.py CHANGE OPTIONS

without_libtpu: as where the compiler of TPUs is not installed
one_block: of a network of one block, which is compiled sooner
"""

import importlib.util
import runpy
import sys

_, change, *options = sys.argv
if change == "without_libtpu":
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name == "libtpu" else find(name, *rest)
elif change == "one_block":
    import jaxsim.model

    jaxsim.model.BLOCKS = 1
else:
    sys.exit(f"unknown change {change!r}")
sys.argv = ["launch.check", *options]
runpy.run_module("launch.check", run_name="__main__", alter_sys=True)
