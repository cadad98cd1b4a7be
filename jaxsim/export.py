"""Writes a trained network as one file that `jaxsim.exported.numpy_model` reads without JAX.

python -m jaxsim.export --checkpoint=runs/demo --out=model.npz
python -m jaxsim.export --checkpoint=runs/demo --out=model.safetensors
"""

import argparse
from collections.abc import Sequence

from input_pipeline import command_line
from jaxsim.exported import model_format
from jaxsim.training.saving.exporting import export_checkpoint


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        export_checkpoint(options.checkpoint, options.out, dtype=options.dtype)
    print(f"model: {options.out}")


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("jaxsim.export", __doc__)
    add = parser.add_argument
    add(
        "--checkpoint",
        required=True,
        metavar="RUN",
        help="a run's directory; RUN/checkpoints/STEP selects the checkpoint of one step",
    )
    add("--out", required=True, metavar="FILE", help="the .npz or .safetensors file to write")
    add(
        "--dtype",
        choices=model_format.DTYPES,
        default="float32",
        help="data type of the parameters in the file; float16 halves its size",
    )
    return parser


if __name__ == "__main__":
    main()
