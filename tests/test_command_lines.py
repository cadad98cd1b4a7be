"""Every command: its --help, its options by name, old spellings, and what it refuses."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
JUDGED = "--triplets --embeddings --estimates --split"
OPTIONS = {
    "jaxsim.train": "--config --workdir --profile --distributed --config.FIELD=VALUE",
    "jaxsim.evaluate": f"--checkpoint --model --data_dir --data --out --triplets_per_dimension "
    f"--count --batch_size --excerpt {JUDGED}",
    "jaxsim.export": "--checkpoint --model --out --dtype --whiten --data_dir --readings",
    "jaxsim.embed": "LIBRARY --store --model --seconds --workers --beam_options --batch_size "
    "--max_minutes --exclude --tags --prune --confirm_gone --subsonic --subsonic_user "
    "--subsonic_password_file",
    "jaxsim.search": "STORE --like --weights --preset --top --max_per_artist --max_per_album "
    "--where --by --explain --all_versions --json --approximate --playlist --relative",
    "jaxsim.search path": "STORE --start --end --length --weights --where --playlist --relative",
    "jaxsim.search describe": "STORE SONG --json",
    "jaxsim.search write_tags": "STORE --where --only --min_confidence --replace --write",
    "jaxsim.search relocate": "STORE OLD NEW",
    "jaxsim.search presets": "STORE --save --weights --delete",
    "jaxsim.search index": "STORE",
    "jaxsim.search recall": "STORE --queries --top",
    "jaxsim.search export": "STORE --format --out",
    "jaxsim.serve": "STORE --host --port --allow_host --allow_origin --root_path --trusted_proxy "
    "--subsonic --subsonic_user --subsonic_password_file",
    "jaxsim.judge": "STORE --name --answers --count",
    "jaxsim.sweep": f"--configs --workdir {JUDGED}",
    "jaxsim.report": "FILE --out",
    "input_pipeline.prepare": "--source --path --audio --option --data_dir --dry_run --estimate "
    "--feature --tag_thresholds --tag_table --workers --beam_options --pieces_per_genre "
    "--renderings --seconds --seed",
    "launch.check": "--config --topology --config.FIELD=VALUE",
    "benchmarks.estimates": "SOURCE --split --out --pieces_per_genre --renderings --seconds --seed",
    "benchmarks.composing": "--tracks --batch_size",
    "benchmarks.embedding": "--clips --seconds --workers --processes",
    "benchmarks.faults": "--kills --saves --signals --disks --soak_minutes --only",
    "benchmarks.features": "--clips --copies --seconds --workers --processes --rounds --against",
    "benchmarks.hits": "--pieces_per_genre --music",
    "benchmarks.musicnn_excerpts": "",
    "benchmarks.fit_readings": "DATA --out",
    "benchmarks.same_recording": "--split --count --seconds --model",
    "benchmarks.library": "--tracks --like --queries",
    "benchmarks.mining": "--sizes",
    "benchmarks.objectives": "--width --batch_size --rounds",
    "benchmarks.pipeline": "--data_dir --data --batch_size --duration --seconds",
    "benchmarks.scaling": "--topologies --groups --batch_size_per_chip --batch_size",
    "benchmarks.serving": "--tracks --clients --duration --seconds --kinds --library_folder "
    "--beside --rounds --warm",
    "benchmarks.soak": "--minutes --clips --clients",
    "benchmarks.step": "--width --batch_size --dtype --rounds --steps",
    "benchmarks.updating": "--tracks --rounds",
    "benchmarks.whole_tracks": "--split --seconds --at_least --count --model",
    "benchmarks.tpu": "--topology --batch_size_per_chip --batch_size --width --forms",
    "benchmarks.tpu_alone": "--topology --batch_size_per_chip --batch_size",
}


def run(command: str, *arguments: str) -> None:
    module, *subcommand = command.split()
    importlib.import_module(module).main([*subcommand, *arguments])


@pytest.mark.parametrize("command", OPTIONS)
def test_help(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(command, "--help")
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: python -m {command} ")
    for name in OPTIONS[command].split():
        assert name in shown
    # The lines of options: "  --workers WORKERS, --processes WORKERS   what it is".
    lines = re.findall(r"^  (-.*?)(?:   .*)?$", shown, re.MULTILINE)
    listed = {name for line in lines for name in re.findall(r"--[a-z_]+", line)}
    expected = {name for name in OPTIONS[command].split() if re.fullmatch("--[a-z_]+", name)}
    assert listed == expected | {"--help"}


def test_help_of_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "jaxsim.sweep", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--configs" in done.stdout


@pytest.mark.parametrize(
    ("command", "old", "new"),
    [
        (
            "jaxsim.evaluate",
            "--checkpoint=a --data=d --count=3",
            "--checkpoint=a --data_dir=d --triplets_per_dimension=3",
        ),
        ("jaxsim.judge", "store --count=3", "store --answers=3"),
        ("benchmarks.embedding", "--processes=3", "--workers=3"),
        ("benchmarks.features", "--processes=3", "--workers=3"),
        ("benchmarks.pipeline", "--data=d --seconds=3", "--data_dir=d --duration=3"),
        ("benchmarks.scaling", "--batch_size=3", "--batch_size_per_chip=3"),
        ("benchmarks.serving", "--seconds=3", "--duration=3"),
        ("benchmarks.tpu", "--batch_size=3", "--batch_size_per_chip=3"),
        ("benchmarks.tpu_alone", "--batch_size=3", "--batch_size_per_chip=3"),
    ],
)
def test_old_spellings(command: str, old: str, new: str) -> None:
    parser = importlib.import_module(command)._parser()
    assert parser.parse_args(old.split()) == parser.parse_args(new.split())


def test_lists() -> None:
    """As absl read them, but for empty parts."""
    from jaxsim import evaluate

    parser = evaluate._parser()
    found = parser.parse_args(['--checkpoint=a, b,"c,d",', "--triplets="])
    assert found.checkpoint == ["a", "b", "c,d"]
    assert found.triplets == found.embeddings == []


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (
            "jaxsim.serve",
            "store --port 99999",
            "--port: '99999', expected a whole number from 0 to 65535",
        ),
        ("jaxsim.serve", "store --port=-1", "--port: '-1', expected a whole number from 0 to"),
        ("jaxsim.serve", "store another", "unrecognized arguments: another"),
        ("jaxsim.search", "store --like=a --top=0", "--top: '0', expected a whole number of at le"),
        ("jaxsim.embed", "x --store=s --max_minutes=nan", "'nan', expected a number of at least 0"),
        ("jaxsim.evaluate", "--checkpoint=a --batch_size=0", "--batch_size: '0', expected a whole"),
        ("jaxsim.evaluate", '--checkpoint=a"b"c,"', "--checkpoint: "),
        ("jaxsim.evaluate", "--checkpoint=a more", "unrecognized arguments: more"),
        ("jaxsim.evaluate", "--check=a", "unrecognized arguments: --check=a"),
        ("jaxsim.evaluate", "--excerpt=-1", "--excerpt: '-1', expected a number of at least 0"),
        ("jaxsim.export", "--checkpoint=a --out=b more", "unrecognized arguments: more"),
        ("jaxsim.judge", "store --answers=x", "--answers/--count: 'x', expected a whole number"),
        ("jaxsim.sweep", "--configs=a --workdir=b more", "unrecognized arguments: more"),
        ("jaxsim.report", "--out=b", "required: FILE"),
        ("input_pipeline.prepare", "more", "unrecognized arguments: more"),
        (
            "input_pipeline.prepare",
            "--seconds=2",
            "--seconds: '2', expected a number of at least 3",
        ),
        ("input_pipeline.prepare", "--source=tapes", "invalid choice: 'tapes'"),
        ("benchmarks.step", "--width=0.01", "--width: '0.01', expected a number of at least 0.03"),
    ],
)
def test_wrong_options(command: str, arguments: str, message: str, capsys) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(command, *arguments.split())
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_importing_a_command_defines_no_flags() -> None:
    """Other programs that use absl have flags of their own."""
    modules = sorted({command.split()[0] for command in OPTIONS})
    code = (
        f"import importlib; [importlib.import_module(name) for name in {modules!r}]\n"
        "from absl import flags\n"
        "own = ('jaxsim', 'input_pipeline', 'launch', 'benchmarks')\n"
        "defined = flags.FLAGS.flags_by_module_dict()\n"
        "print([name for name in defined if name.startswith(own)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
