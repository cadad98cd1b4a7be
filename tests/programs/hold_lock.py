"""Locks a file until it is killed: hold_lock.py FILE"""

import sys
import time

import filelock

lock = filelock.FileLock(sys.argv[1])
lock.acquire()
print("locked", flush=True)
time.sleep(100)
