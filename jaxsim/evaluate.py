"""Measures models and baselines on one data set: everything that its labels allow, in one report.

python -m jaxsim.evaluate --checkpoint=runs/demo --out=runs/demo/evaluation

Writes `evaluation.json` (every number) and its report, `report.html` and `report.md`.
"""

import argparse
from collections.abc import Sequence

from input_pipeline import command_line, extras
from jaxsim.command_line import add_evaluation_options


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        extras.need("train")
        from absl import logging

        from jaxsim.evaluation.evaluating import evaluate
        from jaxsim.network import compilation

        compilation.prepare()
        logging.set_verbosity(logging.WARNING)  # JAX and orbax log through absl
        evaluate(
            options.checkpoint,
            models=options.model,
            data_dir=options.data_dir,
            split=options.split,
            triplet_files=options.triplets,
            embedding_files=options.embeddings,
            estimate_files=options.estimates,
            out=options.out,
            triplets_per_dimension=options.triplets_per_dimension,
            batch_size=options.batch_size,
            excerpt_seconds=options.excerpt,
        )


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("jaxsim.evaluate", __doc__)
    add = parser.add_argument
    add(
        "--checkpoint",
        default="",
        type=command_line.comma_separated,
        metavar="RUN,...",
        help="run directories; RUN/checkpoints/STEP selects the checkpoint of one step",
    )
    add(
        "--model",
        default="",
        type=command_line.comma_separated,
        metavar="FILE,...",
        help="exported models; without --checkpoint, --data_dir and --out are needed",
    )
    add(
        "--data_dir",
        "--data",
        default="",
        metavar="FOLDER",
        help="the prepared data set; default: the one that the model was trained on",
    )
    add_evaluation_options(parser)
    add(
        "--out",
        default="",
        metavar="FOLDER",
        help="where to write the report; default: a folder in the run's directory",
    )
    add(
        "--triplets_per_dimension",
        "--count",
        type=command_line.positive_integer,
        default=40_000,
        help="how many triplets to sample from the labels of each dimension",
    )
    add(
        "--batch_size",
        type=command_line.positive_integer,
        default=64,
        help="segments to embed at once, on all devices together",
    )
    add(
        "--excerpt",
        type=command_line.number(0),
        default=30.0,
        metavar="SECONDS",
        help="length of the two excerpts per track whose retrieval is measured; 0 = none",
    )
    return parser


if __name__ == "__main__":
    main()
