"""Options that several commands share; among them `--config=FILE[:VARIANT]` and its fields.

`--config.FIELD=VALUE` changes a field, with the types and the syntax of `ml_collections`. An error
in a configuration or its fields is one line on standard error, with exit code 1.
"""

import argparse
import contextlib
import inspect
import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from input_pipeline import extras
from input_pipeline.command_line import comma_separated, problems_in_one_line
from input_pipeline.errors import first_line

if TYPE_CHECKING:
    from ml_collections import ConfigDict

INSTALLED = Path(__file__).with_name("installed")  # holds "configs" where jaxsim is installed
_FIELDS = """\
--config.FIELD=VALUE changes a field of the configuration and can be given any number of times:
--config.num_steps=1000 --config.model.width=0.25 --config.dimensions="('genre','tempo')"
"""


def add_evaluation_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options of an evaluation: which split, and what to compare the models with."""
    add = parser.add_argument
    add(
        "--split",
        default="test",
        help="the split to evaluate on, or several: validation,test",
    )
    add(
        "--triplets",
        default="",
        type=comma_separated,
        metavar="FILE,...",
        help="triplets judged by people: CSV files with the columns anchor, positive, negative, or "
        "the files that dim-sim and MagnaTagATune publish",
    )
    add(
        "--embeddings",
        default="",
        type=comma_separated,
        metavar="FILE,...",
        help="external embeddings to compare with: .npz files with one vector per track id, and of "
        "a track's two excerpts, TRACK_ID#1 and TRACK_ID#2 (evaluation.json says where they are)",
    )
    add(
        "--estimates",
        default="",
        type=comma_separated,
        metavar="FILE,...",
        help="tempo and key by other systems: CSV files with the columns track_id, tempo and key "
        "(empty = not estimated), each named after its system; a track that a file lacks counts as "
        "wrong",
    )


def parse_with_config(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None = None
) -> tuple[argparse.Namespace, "ConfigDict"]:
    """Reads a command line; `--config` and its fields are added to the options of the parser.

    Args:
      parser: of options, without positional arguments.
      arguments: of the command; default: those of the process.

    Returns:
      The options, and the configuration with its fields changed, locked.

    Raises:
      SystemExit: as in argparse; or what training needs is not installed, the configuration cannot
        be built or has no such field, a value is not of its field's type, or an argument is
        unexpected (one line, exit code 1).
    """
    group = parser.add_argument_group("configuration", _FIELDS)
    group.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help="the file of the configuration, or FILE:VARIANT, such as configs/six_dim.py:demo",
    )
    options, rest = parser.parse_known_args(arguments)
    with problems_in_one_line():
        extras.need("train")
        return options, with_fields(load(options.config), rest)


def load(name: str) -> "ConfigDict":
    """The configuration FILE or FILE:VARIANT: what `get_config()` or `get_config(VARIANT)` returns.

    FILE is a path, or one of the configurations that come with jaxsim, as configs/six_dim.py.

    Raises:
      OSError: there is no such file, or it cannot be read.
      ValueError: it is not Python, imports a missing module, has no such variant, or does not
        return a ConfigDict.
    """
    from ml_collections import ConfigDict

    path, separator, variant = name.partition(":")
    given = [variant] if separator else []
    folder = next((root for root in (Path(), INSTALLED) if (root / path).is_file()), None)
    if folder is None:
        raise FileNotFoundError(f"{path}: there is no such configuration file")
    try:
        with _importing_from(folder):
            get_config = runpy.run_path(str(folder / path)).get("get_config")
    except (SyntaxError, ImportError) as error:
        raise ValueError(f"{path}: not a configuration: {error}") from None
    if get_config is None:
        raise ValueError(f"{path}: not a configuration: it does not define get_config")
    try:
        inspect.signature(get_config).bind(*given)
    except TypeError as error:
        expected = "no variant" if given else "a variant"
        raise ValueError(f"{name}: get_config expects {expected} ({error})") from None
    config = get_config(*given)
    if not isinstance(config, ConfigDict):
        kind = type(config).__name__
        raise ValueError(f"{name}: get_config returned {kind}, expected a ConfigDict")
    return config


@contextlib.contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Lets a configuration import its neighbours, such as `configs.six_dim`."""
    sys.path.insert(0, str(folder.absolute()))
    try:
        yield
    finally:
        sys.path.remove(str(folder.absolute()))


def config_name(name: str) -> str:
    """What a run of FILE or FILE:VARIANT is called: FILE's stem, with "_VARIANT"."""
    path, _, variant = name.partition(":")
    return "_".join([Path(path).stem, *([variant] if variant else [])])


def with_fields(config: "ConfigDict", arguments: Sequence[str]) -> "ConfigDict":
    """The configuration, locked, changed by arguments such as "--config.batch_size=32".

    Raises:
      ValueError: the configuration has no such field, the value is not of its type, or an argument
        does not change a field.
    """
    from absl import flags
    from ml_collections import config_flags

    known = flags.FlagValues()  # separate, so that other programs do not see these flags
    try:
        changed = config_flags.DEFINE_config_dict(
            "config", config, flag_values=known, sys_argv=list(arguments)
        )
        _, *unexpected = known(["", *arguments], known_only=True)
        if unexpected:
            raise ValueError(f"unexpected argument {unexpected[0]!r}; --help lists the options")
    except (AttributeError, KeyError) as error:
        missing = first_line(error).strip('"')
        raise ValueError(f"the configuration has no field {missing}") from None
    except flags.Error as error:
        raise ValueError(first_line(error).removeprefix("flag ")) from None
    return changed.value
