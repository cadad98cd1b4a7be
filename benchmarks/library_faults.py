"""Kills `python -m jaxsim.embed` while it follows a library that was moved and retagged."""

import contextlib
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mutagen.flac
import numpy as np
import soundfile
import tqdm

from jaxsim.library import store
from jaxsim.library.search.preferences import Answer, answers_of, save_answer

TRACKS, NEW = 200, 5
RATE = 22050
JUDGE = "me"

State = tuple[dict[str, tuple[str, bytes]], list[Answer]]


class Library:
    """A library of tones in a folder, which is put back before every trial.

    Attributes:
      seconds: how long an undisturbed update takes.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._kept, self._work = folder / "kept", folder / "work"
        for number in tqdm.trange(TRACKS, desc="tones", file=sys.stderr):
            _write_tone(self._kept / "music" / f"{number % 10}" / f"{number}.flac", number)
        self._put_back()
        self._start().wait()
        with store.open(self._work / "store") as opened:
            first, second, third = opened.ids[opened.rows][:3]
            save_answer(opened, JUDGE, Answer(first, second, third, "a"))
        shutil.rmtree(self._kept)
        shutil.copytree(self._work, self._kept)
        self._move_and_retag()
        began = time.monotonic()
        self._start().wait()
        self.seconds = time.monotonic() - began
        self.expected = self._state()

    def trial(self, moment: float) -> State:
        """What a library is after an update that was killed at `moment` s, and another one."""
        self._put_back()
        self._move_and_retag()
        with self._start() as started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.wait(moment)
            started.kill()
        with self._start() as again:
            if again.wait():
                raise RuntimeError(f"the update after the kill ended with {again.returncode}")
        return self._state()

    def _put_back(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.copytree(self._kept, self._work)

    def _move_and_retag(self) -> None:
        """Half of the folders change places, the others get new names; all get other titles."""
        music = self._work / "music"
        for number in range(0, 4, 2):
            (music / f"{number}").rename(music / "aside")
            (music / f"{number + 1}").rename(music / f"{number}")
            (music / "aside").rename(music / f"{number + 1}")
        for number in range(4, 10):
            (music / f"{number}").rename(music / f"new {number}")
        for file in sorted(music.rglob("*.flac")):
            tags = mutagen.flac.FLAC(file)
            tags["title"] = f"again {file.stem}"
            tags.save()
        for number in range(TRACKS, TRACKS + NEW):
            _write_tone(music / f"{number}.flac", number)

    def _start(self) -> subprocess.Popen:
        command = ["-m", "jaxsim.embed", f"--store={self._work}/store", f"{self._work}/music"]
        output = subprocess.DEVNULL
        return subprocess.Popen([sys.executable, *command], stdout=output, stderr=output)

    def _state(self) -> State:
        with store.open(self._work / "store") as opened:
            tracks = opened.metadata(opened.rows)
            found = {
                track["path"]: (track["id"], opened.vectors[row].tobytes())
                for row, track in zip(opened.rows, tracks, strict=True)
            }
            return found, answers_of(opened, JUDGE)


def kills(folder: Path, *, times: int, seed: int = 3) -> tuple[int, list[str]]:
    """Kills at random moments; returns how many and what differed from an undisturbed update."""
    library, moments = Library(folder), random.Random(seed)
    tracks, answers = library.expected
    if len(tracks) != TRACKS + NEW or len(answers) != 1:
        return 0, [f"{len(tracks)} tracks and {len(answers)} answers without any kill"]
    problems = []
    for _ in tqdm.trange(times, desc="kill -9 of jaxsim.embed", file=sys.stderr):
        moment = moments.uniform(0, library.seconds)
        if library.trial(moment) != library.expected:
            problems.append(f"ids, vectors or answers differ after a kill at {moment:.2f} s")
    return times, problems


def _write_tone(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    random_state = np.random.default_rng(number)
    beats = np.arange(int(3.2 * RATE)) / RATE * random_state.uniform(1, 4) % 1
    tone = np.sin(2 * np.pi * random_state.uniform(100, 1000) * np.arange(len(beats)) / RATE)
    soundfile.write(path, 0.5 * tone * np.exp(-5 * beats), RATE)
