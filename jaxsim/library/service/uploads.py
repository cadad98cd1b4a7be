"""Files that users drop: received, decoded by a process that may die, embedded, and remembered."""

import collections
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from input_pipeline.hearing.audio import UnusableTrack
from jaxsim.library.search import readings
from jaxsim.library.search.query import Example
from jaxsim.library.store import MODEL, Store

MAX_BYTES = 100 << 20  # of a file
MAX_SECONDS = 900.0  # of audio
PATIENCE = 90.0  # seconds within which a file must be decoded
START_PATIENCE = 300.0  # seconds within which the process must be ready; Numba may have to compile
AT_ONCE = 4  # uploads being received or waiting for their turn
REMEMBERED = 256  # uploads that can be used in searches
COMMAND = (sys.executable, "-m", "jaxsim.library.intake.decoding")

EmbedFile = Callable[[Path], tuple[Example, float]]  # what a file is like, and its seconds


class Busy(Exception):
    """There are too many uploads at once."""


class Uploads:
    """Embeddings of uploads by id; any number of threads may use it."""

    def __init__(self, embed_file: EmbedFile):
        """`embed_file` may raise UnusableTrack, and is called by any thread."""
        self._embed_file = embed_file
        self._places = threading.Semaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._remembered: collections.OrderedDict[str, Example] = collections.OrderedDict()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """A place where an upload may be received; raises Busy if none is free."""
        if not self._places.acquire(blocking=False):
            raise Busy(f"{AT_ONCE} uploads are already in progress; try again later")
        try:
            yield
        finally:
            self._places.release()

    def add(self, path: Path) -> tuple[str, Example, float]:
        """Embeds a file: its id for searches, what it is like, and the seconds of audio.

        Raises:
          UnusableTrack: it cannot be embedded; the message says why.
        """
        example, seconds = self._embed_file(path)
        name = f"upload:{secrets.token_urlsafe(12)}"
        with self._lock:
            self._remembered[name] = example
            while len(self._remembered) > REMEMBERED:
                self._remembered.popitem(last=False)
        return name, example, seconds

    def get(self, name: str) -> Example | None:
        """What an upload is like, unless it is unknown or forgotten."""
        return self._remembered.get(name)


class UploadEmbedder:
    """Embeds files with the model of a library, one at a time."""

    def __init__(self, library: Store, *, patience: float = PATIENCE):
        """`patience`: seconds within which a file must be decoded."""
        self._model = library.path / MODEL
        self._config = library.description["feature_config"]
        self._seconds = library.description.get("seconds")
        self._patience = patience
        self._turn = threading.Lock()
        self._decoder: Decoder | None = None
        self._embedder: Any = None  # an Embedder; importing it imports ONNX Runtime

    def __call__(self, path: Path) -> tuple[Example, float]:
        """What a file is like, and its seconds; may raise UnusableTrack.

        Its tags are not read: that would be done outside of the process that may die.
        """
        with self._turn:
            decoder, embedder = self._ready()
            with tempfile.TemporaryDirectory(prefix="jaxsim-") as folder:
                out = Path(folder, "features.npz")
                request = {
                    "audio": str(path),
                    "out": str(out),
                    "config": self._config,
                    "seconds": self._seconds,
                    "max_seconds": MAX_SECONDS,
                }
                seconds = decoder.ask(request, self._patience)["seconds"]
                with np.load(out, allow_pickle=False) as arrays:
                    features = dict(arrays)
            vector, heard = embedder.heard_in(features)
            return Example(vector, readings.of({}, heard)), seconds

    def warm(self) -> None:
        """Starts the decoder and loads the model, before the first file needs them."""
        with self._turn:
            _, embedder = self._ready()
            frames = embedder.feature_config.segment_frames
            nothing = {
                "mel": np.zeros((frames, embedder.feature_config.n_mels), np.float16),
                "cens": np.zeros((frames, embedder.feature_config.n_chroma), np.float16),
                "onset": np.zeros(frames, np.float32),
            }
            list(embedder.stream([(None, nothing)]))

    def _ready(self) -> tuple["Decoder", Any]:
        if self._decoder is None or not self._decoder.lives:
            self._decoder = Decoder()
        if self._embedder is None:
            from jaxsim.library.intake.embedding import Embedder

            self._embedder = Embedder(self._model, seconds=self._seconds)
        return self._decoder, self._embedder

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.kill()


class Decoder:
    """A process running `jaxsim.library.intake.decoding`, killed when it takes too long."""

    def __init__(self, command: Sequence[str] = COMMAND):
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that it dies with its children
        )
        self._lock = threading.Lock()
        self._is_ready = False

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], patience: float) -> dict[str, Any]:
        """The answer of `decoding.answer` to a request.

        Raises:
          UnusableTrack: it gives a reason, dies, or needs more than `patience` seconds.
        """
        if not self._is_ready:
            self._exchange(None, START_PATIENCE)
            self._is_ready = True
        found = self._exchange(request, patience)
        if found.get("broken"):
            self.kill()
        if "reason" in found:
            raise UnusableTrack(found["reason"])
        return found

    def _exchange(self, request: dict[str, Any] | None, patience: float) -> dict[str, Any]:
        """Writes a request, if there is one, and reads a line."""
        assert self._process.stdin is not None and self._process.stdout is not None
        expired = threading.Event()

        def give_up() -> None:
            expired.set()
            self.kill()

        timer = threading.Timer(patience, give_up)
        timer.start()
        try:
            if request is not None:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if line.endswith("\n"):
            return json.loads(line)
        self.kill()
        if expired.is_set():
            raise UnusableTrack(f"takes more than {patience:.0f} seconds to decode")
        raise UnusableTrack("cannot be decoded (the decoding process died)")

    def kill(self) -> None:
        """Ends the process and its children at once."""
        with self._lock:
            if self._process.returncode is None:
                try:
                    os.killpg(self._process.pid, signal.SIGKILL)
                except (AttributeError, ProcessLookupError, PermissionError):
                    self._process.kill()
                self._process.wait()
