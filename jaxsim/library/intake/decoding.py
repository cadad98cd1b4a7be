"""A process that decodes untrusted files: `python -m jaxsim.library.intake.decoding`.

It reads requests from stdin and answers on stdout, one line of JSON each; it ends with its input.
Features go through a file, since nothing from such a process may be unpickled. Memory is limited
where the system allows it; time, by the process that waits for the answer.
"""

import contextlib
import json
import os
import sys
from typing import Any

import numpy as np

from input_pipeline.hearing.audio import UnusableTrack
from input_pipeline.hearing.features import FeatureConfig, extract
from input_pipeline.hearing.listening import listen

MEMORY = 4 << 30  # bytes that the process may use
FILE = 256 << 20  # bytes that it may write to a file


def main() -> None:
    """Answers until the input ends, or nobody waits for an answer any more."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    limit()
    _warm()
    with contextlib.suppress(BrokenPipeError):
        _say(answers, {"ready": True})
        for line in sys.stdin:
            _say(answers, answer(json.loads(line)))


def _say(answers: int, found: dict[str, Any]) -> None:
    os.write(answers, f"{json.dumps(found)}\n".encode())


def limit() -> None:
    """Limits what the process and its children can use of the machine."""
    try:
        import resource
    except ImportError:  # not a Unix
        return
    for kind, size in (("CORE", 0), ("FSIZE", FILE), ("DATA", MEMORY)):
        with contextlib.suppress(ValueError, OSError):  # a system may not allow it
            resource.setrlimit(getattr(resource, f"RLIMIT_{kind}"), (size, size))


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Decodes a file and writes its features.

    Args:
      request: the paths "audio" and "out"; "config", the fields of a `FeatureConfig`; "seconds"
        of a longer track that are heard, if not all; "max_seconds" of audio.

    Returns:
      "seconds" of audio; or "reason", why there are no features, and "broken" if this process
      should not continue.
    """
    try:
        config = FeatureConfig(**request["config"])
        heard = listen(
            request["audio"],
            config,
            seconds=request.get("seconds"),
            longest=request["max_seconds"],
        )
        np.savez(request["out"], **heard.features)  # type: ignore[arg-type]
        return {"seconds": heard.seconds}
    except UnusableTrack as error:
        surprise = error.__cause__
        return {"reason": error.reason} if surprise is None else _broken(surprise)
    except Exception as error:
        return _broken(error)


def _broken(error: BaseException) -> dict[str, Any]:
    """The answer after an unexpected error; its sender is told no more than the kind of error."""
    if isinstance(error, MemoryError):
        reason = f"needs more than {MEMORY >> 30} GB of memory"
    else:
        reason = f"cannot be decoded ({type(error).__name__})"
    return {"reason": reason, "broken": True}


def _warm() -> None:
    """Loads what the first file would otherwise wait for."""
    config = FeatureConfig()
    noise = np.random.default_rng(0).uniform(-1, 1, config.segment_frames * config.hop_length)
    extract(noise, config)


if __name__ == "__main__":
    main()
