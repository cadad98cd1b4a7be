"""Runs many tasks in worker processes, any of which may die.

loky starts workers without importing the caller's main module, which may import TensorFlow.
"""

import collections
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from joblib.externals.loky import get_reusable_executor

Task = TypeVar("Task")
Result = TypeVar("Result")

IN_FLIGHT = 4  # tasks per worker; bounds the memory
PARENT_CHECK_SECONDS = 2.0
ONE_THREAD = dict.fromkeys(
    # The last one is XLA's name for the number of processors, which is its number of threads.
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"),
    "1",
)
ENVIRONMENT = {
    **ONE_THREAD,
    "JAX_PLATFORMS": "cpu",  # an accelerator is not for many processes
    "PYTHONWARNINGS": "ignore",  # of libraries, in the midst of a progress bar
}


def in_order(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, processes: int
) -> Iterator[tuple[Task, Result | None]]:
    """Yields every task and the result of `function` for it, in the order of the tasks.

    If a worker dies, the tasks in flight are run again, one at a time; a task whose worker dies
    again has the result None. Exceptions from the function are raised here.

    Args:
      function: picklable.
      tasks: picklable.
      processes: number of workers.
    """
    # loky replaces a worker that has grown by 300 MB, and loses nothing.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    remaining, waiting = iter(tasks), collections.deque[tuple[Task, Future[Result]]]()

    def submit(task: Task) -> Future[Result]:
        executor = get_reusable_executor(
            max_workers=processes, initializer=_end_with, initargs=(os.getpid(),), env=ENVIRONMENT
        )
        return executor.submit(function, task)

    def alone(task: Task, future: Future[Result]) -> Result | None:
        try:
            return future.result() if not _is_lost(future) else submit(task).result()
        except BrokenProcessPool:
            return None

    while True:
        for task in remaining:
            waiting.append((task, submit(task)))
            if len(waiting) == IN_FLIGHT * processes:
                break
        if not waiting:
            return
        task, future = waiting.popleft()
        try:
            result = future.result()
        except BrokenProcessPool:
            # All tasks in flight are lost with the pool; running each alone finds the culprit.
            for each in ((task, future), *waiting):
                yield each[0], alone(*each)
            waiting.clear()
            continue
        yield task, result


def _is_lost(future: Future[Any]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _end_with(parent: int) -> None:
    """Ends this worker soon after its parent has gone: a killed parent cannot stop its workers."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def stop() -> None:
    """Ends the idle worker processes, which would otherwise hold their memory for minutes."""
    get_reusable_executor().shutdown(wait=True, kill_workers=True)
