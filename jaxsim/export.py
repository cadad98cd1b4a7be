"""Writes a trained network as one file that `jaxsim.numpy_model` reads without JAX.

python -m jaxsim.export --checkpoint=runs/demo --out=model.npz
python -m jaxsim.export --checkpoint=runs/demo --out=model.safetensors
"""

import sys

from absl import app, flags

from jaxsim import model_format
from jaxsim.exporting import export_checkpoint


def main(checkpoint: str, out: str, dtype: str = "float32") -> None:
    """Exports a checkpoint; expected problems are one line on stderr and exit code 1."""
    try:
        export_checkpoint(checkpoint, out, dtype=dtype)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"model: {out}")


if __name__ == "__main__":
    # Defined here only, so that other programs can import this module and have such flags too.
    _CHECKPOINT = flags.DEFINE_string("checkpoint", None, "A run's directory.", required=True)
    _OUT = flags.DEFINE_string(
        "out", None, "The .npz or .safetensors file to write.", required=True
    )
    _DTYPE = flags.DEFINE_enum("dtype", "float32", model_format.DTYPES, "Of its parameters.")

    def _main(arguments: list[str]) -> None:
        if len(arguments) > 1:
            raise app.UsageError(f"unexpected argument {arguments[1]!r}")
        main(_CHECKPOINT.value, _OUT.value, _DTYPE.value)

    app.run(_main)
