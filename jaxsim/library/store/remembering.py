"""A function that remembers its latest results, and says for which arguments."""

import collections
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Argument = TypeVar("Argument", bound=Hashable)
Result = TypeVar("Result")


class Remembering(Generic[Argument, Result]):
    """Calls a function, but for arguments with which it was called lately; for any thread."""

    def __init__(self, function: Callable[[Argument], Result], size: int):
        """`size` is how many results are kept: those that were asked for last."""
        self._function = function
        self._size = size
        self._results: collections.OrderedDict[Argument, Result] = collections.OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, argument: Argument) -> bool:
        return argument in self._results

    def __call__(self, argument: Argument) -> Result:
        with self._lock:
            if argument in self._results:
                self._results.move_to_end(argument)
                return self._results[argument]
        result = self._function(argument)
        with self._lock:
            self._results[argument] = result
            if len(self._results) > self._size:
                self._results.popitem(last=False)
        return result
