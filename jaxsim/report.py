"""The report of one or several evaluations: an HTML page that opens from disk, and Markdown.

python -m jaxsim.report runs/demo/evaluation/evaluation.json --out=report
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from input_pipeline import command_line, extras


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        extras.need("train")
        from jaxsim.evaluation.reporting import write_merged

        for path in write_merged(options.evaluation, Path(options.out)):
            print(path)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("jaxsim.report", __doc__)
    parser.add_argument(
        "evaluation",
        nargs="+",
        metavar="FILE",
        help="evaluation.json, as jaxsim.evaluate writes it; several must be on the same data",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="where to write the report")
    return parser


if __name__ == "__main__":
    main()
