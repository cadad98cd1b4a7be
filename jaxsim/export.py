"""Writes a trained network as one file that `jaxsim.exported.numpy_model` reads without JAX.

python -m jaxsim.export --checkpoint=runs/demo --out=model.npz
python -m jaxsim.export --checkpoint=runs/demo --out=model.safetensors
python -m jaxsim.export --checkpoint=runs/demo --out=model.npz --whiten=0.1
"""

import argparse
import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from input_pipeline import command_line, extras
from jaxsim.exported import model_format, whitening

if TYPE_CHECKING:
    from jaxsim.training.saving.checkpoints import Restored

BATCH_SIZE = 64  # segments that are embedded at once, on all devices together


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with command_line.problems_in_one_line():
        extras.need("train")
        if options.out.endswith(".safetensors"):
            extras.need("safetensors")
        from jaxsim.training.saving.exporting import export_checkpoint

        whiten = None
        if options.whiten:
            whiten = functools.partial(
                whitening_of, strength=options.whiten, data_dir=options.data_dir
            )
        export_checkpoint(options.checkpoint, options.out, dtype=options.dtype, whiten=whiten)
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
    add(
        "--whiten",
        type=command_line.number(1e-6),
        metavar="STRENGTH",
        help="whiten every sub-space over the training tracks, so that a search uses all its "
        "directions: a small number such as 0.02 much, 0.3 mildly; default: not at all",
    )
    add(
        "--data_dir",
        default="",
        metavar="FOLDER",
        help="the prepared data set to whiten over; default: the one that it was trained on",
    )
    return parser


def whitening_of(
    restored: "Restored", *, strength: float, data_dir: str
) -> Mapping[str, np.ndarray]:
    """The whitening of a checkpoint's network over the tracks of the training split."""
    import jax.numpy as jnp

    from jaxsim.evaluation import track_embeddings
    from jaxsim.network import compilation
    from jaxsim.training.data import open_splits
    from jaxsim.training.train_step import State

    compilation.prepare()
    config = restored.config
    data = open_splits(config, ("train",), directory=data_dir)["train"]
    state = State(jnp.zeros((), jnp.int32), restored.params, restored.batch_stats, ())
    embed = functools.partial(track_embeddings.embedder(config), state)
    embeddings = track_embeddings.track_means(data, embed, batch_size=BATCH_SIZE)
    return whitening.fit(embeddings, len(config.dimensions), strength=strength)


if __name__ == "__main__":
    main()
