"""`--config` and its fields on a command line, and what is wrong with them in one line."""

from pathlib import Path

import pytest

from input_pipeline import command_line
from jaxsim.command_line import load, parse_with_config

CONFIG = "configs/six_dim.py"


@pytest.fixture(autouse=True)
def in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])


def parse(*arguments: str):
    parser = command_line.parser("jaxsim.some", "What it does.")
    parser.add_argument("--workdir", help="where to write")
    return parse_with_config(parser, arguments)


def test_options_and_fields_in_any_order() -> None:
    options, config = parse(
        "--config.num_steps=7",
        f"--config={CONFIG}:demo",
        "--config.dimensions=('genre','tempo')",
        "--config.model.width",
        "0.25",
        "--workdir",
        "runs/demo",
        "--config.batch_size=12",
        "--config.optimiser.learning_rate",
        "1e-5",
        "--config.batch_size=16",  # the last counts
    )
    assert options.workdir == "runs/demo"
    assert (config.num_steps, config.batch_size, config.model.width) == (7, 16, 0.25)
    assert config.optimiser.learning_rate == 1e-5
    assert config.dimensions == ("genre", "tempo")
    unchanged = load(f"{CONFIG}:demo")
    assert config.model.embedding_size == unchanged.model.embedding_size
    assert config.is_locked and config.model.is_locked


def test_a_file_without_a_variant() -> None:
    assert parse(f"--config={CONFIG}")[1].to_dict() == load(f"{CONFIG}:paper").to_dict()


def test_switches(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config():\n    return ConfigDict({'first': False, 'second': True})\n"
    )
    _, config = parse(f"--config={file}", "--config.first", "--noconfig.second")
    assert config.to_dict() == {"first": True, "second": False}
    with pytest.raises(SystemExit, match=r"own\.py:demo: get_config expects no variant"):
        parse(f"--config={file}:demo")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=none.py"], "none.py: there is no such configuration file"),
        (["--config=configs"], "configs: there is no such configuration file"),
        (["--config=pyproject.toml"], "pyproject.toml: not a configuration: "),
        (
            ["--config=jaxsim/network/shapes.py"],
            "jaxsim/network/shapes.py: not a configuration: it does not define",
        ),
        ([f"--config={CONFIG}:tiny"], f"{CONFIG}:tiny: expected one of paper, demo, scores"),
        ([f"--config={CONFIG}", "--config.nope=1"], "the configuration has no field 'nope'"),
        ([f"--config={CONFIG}", "--config.loss.no.pe=1"], "the configuration has no field 'no'"),
        ([f"--config={CONFIG}", "--config.batch_size=x"], "--config.batch_size=x: invalid literal"),
        ([f"--config={CONFIG}", "--config.batch_size"], "Missing value for flag --config.batch_s"),
        ([f"--config={CONFIG}", "demo"], "unexpected argument 'demo'"),
        ([f"--config={CONFIG}", "--", "demo"], "unexpected argument '--'"),
        ([f"--config={CONFIG}", "--wrkdir=x"], "unexpected argument '--wrkdir=x'"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse(*arguments)
    # A string makes the exit code 1 and is all that Python prints.
    code = stopped.value.code
    assert isinstance(code, str) and code.startswith(f"error: {message}") and "\n" not in code


def test_a_configuration_is_required(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        parse("--workdir=x")
    assert stopped.value.code == 2
    assert "required: --config" in capsys.readouterr().err
