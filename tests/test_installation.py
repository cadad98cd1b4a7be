"""What each command needs to be installed, and what a wheel holds."""

import functools
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

from input_pipeline import extras
from jaxsim.__main__ import COMMANDS
from jaxsim.library import store
from tests.helpers.audio import SAMPLE_RATE, pulsed_tone
from tests.helpers.programs import environment

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Hides modules from a process, as if they were not installed.
HIDING = """\
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""
OF_TRAINING = {*extras.MODULES["train"], "numba", "soundfile"}


def distributions(extra: str) -> set[str]:
    """What an extra of pyproject.toml installs itself, by normalised name."""
    names = (re.split(r"[\[<>=;]", text)[0] for text in PROJECT["optional-dependencies"][extra])
    return {name.strip().lower().replace("_", "-") for name in names} - {"jaxsim"}


@functools.cache
def distributions_of_modules() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


@pytest.fixture
def without(tmp_path: Path):
    """Runs Python in an empty folder, in an installation that lacks some modules."""

    def run(hidden: set[str], *arguments: str) -> subprocess.CompletedProcess[str]:
        site = tmp_path / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(HIDING.format(hidden=hidden))
        path = os.pathsep.join([str(site), str(ROOT)])
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment(PYTHONPATH=path, JAXSIM_DATA=str(tmp_path / "cache")),
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.parametrize("extra", extras.MODULES)
def test_the_table_is_that_of_the_project(extra: str) -> None:
    of_module = distributions_of_modules()
    found = {
        name.lower().replace("_", "-")
        for module in extras.MODULES[extra]
        for name in of_module.get(module, [module])
    }
    named = distributions(extra)
    assert named & found, f"none of {named} is what {extras.MODULES[extra]} belong to"
    if extra == "train":
        versions = {"tensorflow", "tensorflow-cpu", "orbax-checkpoint", "orbax"}  # one of each
        assert named - versions == found - versions


@pytest.mark.parametrize(
    ("command", "arguments", "extra"),
    [
        ("jaxsim.train", "--config=configs/six_dim.py", "train"),
        ("jaxsim.evaluate", "--checkpoint=runs/demo", "train"),
        ("jaxsim.export", "--checkpoint=runs/demo --out=model.npz", "train"),
        ("jaxsim.sweep", "--workdir=runs --configs=a.py", "train"),
        ("jaxsim.report", "evaluation.json --out=report", "train"),
        ("jaxsim.embed", "--store=store --model=. .", "train"),
        ("input_pipeline.prepare", "--source=scores", "scores"),
        ("input_pipeline.prepare", "--source=mirdata --path=.", "mirdata"),
        ("input_pipeline.prepare", "--source=folder --path=. --data_dir=data", "train"),
        ("jaxsim.search", "index store", "ann"),
        ("jaxsim.search", "store --like=a --approximate", "ann"),
        ("jaxsim.search", "export store --format=qdrant --out=q", "qdrant"),
    ],
)
def test_a_missing_extra_is_one_line(command, arguments, extra, without) -> None:
    missing = extras.MODULES[extra]
    done = without({*missing, *OF_TRAINING}, "-m", command, *arguments.split())
    expected = f"error: {missing[0]} is missing: this needs `pip install 'jaxsim[{extra}]'`\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", expected)


@pytest.mark.slow
def test_every_command_explains_itself_without_extras(without) -> None:
    hidden = {*OF_TRAINING, *(name for names in extras.MODULES.values() for name in names)}
    for command, (module, _) in COMMANDS.items():
        for arguments, usage in (
            (("-m", module), f"usage: python -m {module} "),
            (("-m", "jaxsim", command), f"usage: jaxsim {command} "),
        ):
            done = without(hidden, *arguments, "--help")
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith(usage)
            assert arguments[1] == module or "python -m" not in done.stdout


def test_the_program_spells_its_problems_as_its_user_does(without) -> None:
    done = without(set(), "-m", "jaxsim", "tune")
    assert done.returncode == 2 and "unknown command 'tune'" in done.stderr
    done = without(set(), "-m", "jaxsim")
    assert done.returncode == 2 and done.stdout.startswith("usage: jaxsim COMMAND")


@pytest.mark.parametrize("module", ["jaxsim.search", "jaxsim.library.service.app", "jaxsim.serve"])
def test_searching_and_serving_import_nothing_heavy(module: str, without) -> None:
    heavy = {"jax", "tensorflow", "librosa", "numba", "flax", "onnx", "onnxruntime", "sklearn"}
    code = f"import sys, {module}; print(sorted({heavy!r} & {{*sys.modules}}))"
    done = without(set(), "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_library_works_without_extras(tmp_path: Path, without) -> None:
    hidden = {*OF_TRAINING, *(name for names in extras.MODULES.values() for name in names)}
    (tmp_path / "music").mkdir()
    for number in range(3):
        samples = pulsed_tone(number, seconds=5)
        soundfile.write(tmp_path / "music" / f"{number}.wav", samples, SAMPLE_RATE)
    done = without(hidden, "-m", "jaxsim.embed", "--store=store", "--workers=1", "music")
    assert done.returncode == 0, done.stderr
    assert "3 embedded" in done.stdout
    # Progress and results alone.
    assert all("embedding:" in line for line in done.stderr.splitlines() if line.strip())
    done = without(hidden, "-m", "jaxsim.search", "store", "--like=music/1.wav", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    reading = "-m input_pipeline.prepare --source=folder --path=music --dry_run"
    done = without(hidden, *reading.split())
    assert (done.returncode, done.stderr) == (0, "")
    with store.open(tmp_path / "store") as opened:
        assert len(opened) == 3 and np.isfinite(opened.vectors[opened.rows]).all()


@pytest.mark.slow
def test_a_wheel_works_outside_of_a_clone(tmp_path: Path, track_rows) -> None:
    """Built from a copy, for a build leaves folders behind; unpacked instead of installed."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "."]
    subprocess.run([*build, "./clone"], cwd=tmp_path, check=True)
    (wheel,) = tmp_path.glob("jaxsim-*.whl")
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        (scripts,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "jaxsim = jaxsim.__main__:main" in archive.read(scripts).decode()

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "jaxsim", *arguments]
        surroundings = environment(PYTHONPATH=str(site), JAXSIM_DATA=str(tmp_path / "cache"))
        done = subprocess.run(command, cwd=empty, env=surroundings, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    folder, _ = track_rows
    assert "8 embedded" in run("embed", "--store=store", "--workers=1", str(folder))
    assert "score" in run("search", "store", "--like", str(folder / "3.wav"), "--explain")
    for name in ("six_dim.py", "ribecky2021/six_multi_384.py", "lee2020_ismir/proxy.py"):
        code = f"from jaxsim import command_line; print(command_line.load('configs/{name}').width)"
        code = code.replace(".width", ".model.width")
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=empty,
            env=environment(PYTHONPATH=str(site)),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    for name in ("jaxsim/library/service/page/index.html", "jaxsim/exported/models/scores.npz"):
        assert (site / name).is_file()
    assert list((site / "input_pipeline/sources/tag_maps").glob("*.csv"))
