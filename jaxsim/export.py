"""Writes a trained network as one file that `jaxsim.exported.numpy_model` reads without JAX.

python -m jaxsim.export --checkpoint=runs/demo --out=model.npz
python -m jaxsim.export --checkpoint=runs/demo --out=model.safetensors
python -m jaxsim.export --checkpoint=runs/demo --out=model.npz --whiten=0.1
python -m jaxsim.export --checkpoint=runs/demo --out=model.npz --whiten=tempo=1,key=0.5
python -m jaxsim.export --checkpoint=runs/demo --out=model.npz --readings=data/music
python -m jaxsim.export --model=old.npz --out=model.npz --readings=data/music
"""

import argparse
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from input_pipeline import command_line, extras
from input_pipeline.tracks import KEYS, TAG_DIMENSIONS
from jaxsim.exported import model_format, readings, whitening
from jaxsim.exported.readings import Prototypes

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
                whitening_of, strengths=options.whiten, data_dir=options.data_dir
            )
        if options.model and not options.readings:
            raise ValueError("--model: needs --readings, the data set to fit them to")
        if options.model and options.whiten:
            raise ValueError("--whiten: needs --checkpoint; an exported model stays as it is")
        if options.checkpoint:
            export_checkpoint(options.checkpoint, options.out, dtype=options.dtype, whiten=whiten)
        if options.readings:
            from jaxsim.exported import model_writing

            source = Path(options.model or options.out)
            model_writing.add_readings(source, readings_of(source, options.readings), options.out)
    print(f"model: {options.out}")


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("jaxsim.export", __doc__)
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--checkpoint",
        metavar="RUN",
        help="a run's directory; RUN/checkpoints/STEP selects the checkpoint of one step",
    )
    source.add_argument("--model", metavar="FILE", help="an exported model that gets --readings")
    add("--out", required=True, metavar="FILE", help="the .npz or .safetensors file to write")
    add(
        "--dtype",
        choices=model_format.DTYPES,
        default="float32",
        help="data type of the parameters in the file; float16 halves its size",
    )
    add(
        "--whiten",
        type=_strengths,
        metavar="STRENGTH",
        help="whiten every sub-space over the training tracks, so that a search uses all its "
        "directions: 0.02 strongly, 0.3 mildly, 1 slightly; DIMENSION=STRENGTH,... whitens only "
        "those named; default: none",
    )
    add(
        "--data_dir",
        default="",
        metavar="FOLDER",
        help="the prepared data set to whiten over; default: the one that it was trained on",
    )
    add(
        "--readings",
        default="",
        metavar="FOLDER",
        help="a prepared data set: tags, tempo and key can then be read from embeddings, by "
        "prototypes of its training tracks that are calibrated on its validation split",
    )
    return parser


def readings_of(model: Path, data_dir: str) -> dict[str, Prototypes]:
    """What can be read from a model's embeddings, fitted to a data set's first two splits."""
    from input_pipeline.datasets import dataset
    from jaxsim.library.intake.embedding import Embedder
    from jaxsim.network import subspaces

    embedder = Embedder(model)
    splits = {}
    for split in ("train", "validation"):
        data = dataset.open(data_dir, split, embedder.feature_config)
        stream = embedder.stream((row, data.stored(row)) for row in range(len(data)))
        vectors = np.array([vector for _, vector in stream])
        parts = subspaces.split(vectors, len(embedder.model.dimensions)).swapaxes(0, 1)
        of_dimension = dict(zip(embedder.model.dimensions, parts, strict=True))
        weights = {name: data.tags[name].astype(float) for name in TAG_DIMENSIONS}
        weights |= {"tempo": readings.tempo_weights(data.tempo)}
        weights |= {"key": readings.key_weights(data.key)}
        # A track in which no tag stood out was heard to have none.
        known = {n: data.tags[n].any(axis=1) | data.has_tag_estimate for n in TAG_DIMENSIONS}
        known |= {"tempo": data.tempo > 0, "key": data.key >= 0}
        splits[split] = readings.Tracks(of_dimension, weights, known)
    names = dict(data.tag_names) | {"tempo": readings.TEMPI, "key": KEYS}
    own = {name: names[name] for name in embedder.model.dimensions if name in names}
    return readings.fit(splits["train"], splits["validation"], own)


def _strengths(text: str) -> float | dict[str, float]:
    """The type of `--whiten`: of all sub-spaces, or of those that are named."""
    strength = command_line.number(1e-6)
    if "=" not in text:
        return strength(text)
    parts = [part.partition("=") for part in command_line.comma_separated(text)]
    return {name.strip(): strength(value) for name, _, value in parts}


def whitening_of(
    restored: "Restored", *, strengths: float | Mapping[str, float], data_dir: str
) -> Mapping[str, np.ndarray]:
    """The whitening of a checkpoint's network over the tracks of the training split.

    Args:
      strengths: of all sub-spaces, or of some by name; see `whitening.fit`.

    Raises:
      ValueError: a name is none of the network's dimensions.
    """
    import jax.numpy as jnp

    from jaxsim.evaluation import track_embeddings
    from jaxsim.network import compilation
    from jaxsim.training.data import open_splits
    from jaxsim.training.train_step import State

    compilation.prepare()
    config = restored.config
    if not isinstance(strengths, Mapping):
        strengths = dict.fromkeys(config.dimensions, strengths)
    for name in strengths:
        if name not in config.dimensions:
            raise ValueError(f"--whiten: {name!r}, expected some of {', '.join(config.dimensions)}")
    data = open_splits(config, ("train",), directory=data_dir)["train"]
    state = State(jnp.zeros((), jnp.int32), restored.params, restored.batch_stats, ())
    embed = functools.partial(track_embeddings.embedder(config), state)
    embeddings = track_embeddings.track_means(data, embed, batch_size=BATCH_SIZE)
    return whitening.fit(embeddings, [strengths.get(name) for name in config.dimensions])


if __name__ == "__main__":
    main()
