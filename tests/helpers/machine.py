"""Fake commands on PATH, which log how they were called and answer as instructed."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "launch" / "golden"

# Logs its command line (and with `keep_input` its input), then takes the next answer for
# "NAME" or, for gcloud, "gcloud VERB": an exit code and a line of output. The default is 0.
FAKE = """#!{python} -IS
import fcntl, os, pathlib, shlex, sys
folder = pathlib.Path({folder!r})
name = os.path.basename(sys.argv[0])
key = name if name != "gcloud" else "gcloud " + sys.argv[4]
with (folder / "log").open("a") as log:
    fcntl.flock(log, fcntl.LOCK_EX)
    log.write(shlex.join([name, *sys.argv[1:]]) + "\\n")
if {keep_input}:
    (folder / "input").write_text(sys.stdin.read())
answers = folder / key
lines = answers.read_text().splitlines() if answers.exists() else []
if lines:
    answers.write_text("\\n".join(lines[1:]))
    code, _, output = lines[0].partition(" ")
    if output:
        print(output)
    sys.exit(int(code))
"""


class Machine:
    """A copy of the launch scripts and fake commands; runs scripts as a user would."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.tree = folder / "tree"
        self.started: list[subprocess.Popen] = []
        shutil.copytree(ROOT / "launch", self.tree / "launch")
        (folder / "bin").mkdir()
        self.environment = {
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(folder / "home"),
        }

    def fake(self, name: str, *, path: Path | None = None, keep_input: bool = False) -> None:
        """Puts a fake command on PATH, or at `path`."""
        path = path or self.folder / "bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            FAKE.format(python=sys.executable, folder=str(self.folder), keep_input=keep_input)
        )
        path.chmod(0o755)

    def answer(self, key: str, *answers: str) -> None:
        """What the next calls of a command exit with and print: "0 READY"."""
        (self.folder / key).write_text("\n".join(answers))

    def start(self, script: str, *arguments: str, **variables: str) -> subprocess.Popen:
        process = subprocess.Popen(
            ["bash", f"launch/{script}", *arguments],
            cwd=self.tree,
            env=self.environment | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_hang_up_ends,
        )
        self.started.append(process)
        return process

    def run(self, script: str, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a script."""
        process = self.start(script, *arguments, **variables)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def called(self) -> str:
        """The calls of fake commands, one per line."""
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""

    def words(self) -> list[str]:
        """The first distinctive word of every call."""
        return [
            " ".join(line.split()[4:5] if line.startswith("gcloud") else line.split()[:1])
            for line in self.called().splitlines()
        ]


def check_golden(found: str, name: str) -> None:
    """Compares with golden/NAME; JAXSIM_UPDATE_GOLDEN=1 writes it, for review before a commit."""
    path = GOLDEN / name
    if os.environ.get("JAXSIM_UPDATE_GOLDEN"):
        path.write_text(found)
    assert found == path.read_text(), f"{path}: differs from the output"


def _hang_up_ends() -> None:
    """Lets SIGHUP end a process even if the tests run under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
