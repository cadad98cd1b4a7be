"""The options that benchmarks for TPU slices share."""

import argparse

from input_pipeline.command_line import positive_integer


def add_topology(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--topology",
        default="v5e:2x2",
        metavar="SLICE",
        help="the slice, such as v5e:4x4 or v6e:2x2",
    )


def add_batch_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch_size_per_chip",
        "--batch_size",
        type=positive_integer,
        default=256,
        help="examples per chip",
    )
