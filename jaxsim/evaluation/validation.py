"""Validation: what a run measures on unseen tracks, and the table it ends with."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
import rich.console
import rich.table
from ml_collections import ConfigDict

from input_pipeline.datasets.dataset import DataSet
from input_pipeline.files import write_text
from jaxsim.evaluation import metrics, track_embeddings
from jaxsim.evaluation.metrics import CHANCE, Score, Triplets
from jaxsim.evaluation.sampled_triplets import sample_triplets
from jaxsim.evaluation.untrained import SEEDS, untrained_states
from jaxsim.objective.terms import objective_terms
from jaxsim.training import train_step
from jaxsim.training.machines import parallel
from jaxsim.training.run import Measured
from jaxsim.training.train_step import State

Table = Mapping[str, Mapping[str, Score]]


class Validation:
    """Measures states of a run on the validation split.

    Raises:
      ValueError: the split has no triplet in any dimension.
    """

    def __init__(self, config: ConfigDict, data: DataSet):
        self.config, self.data = config, data
        self.triplets = sample_triplets(
            data, config, count=config.evaluation.triplets, seed=config.seed
        )
        if not self.triplets:
            raise ValueError(
                f"{data.directory}: the validation split has no triplet (two similar tracks and a "
                f"dissimilar one) in any of {', '.join(config.dimensions)}; hold out more of a "
                "small collection (for a folder, --option=held_out=0.4)"
            )
        self._embed = track_embeddings.embedder(config)

    def measure(self, state: State) -> Measured:
        """Validation loss and triplet scores of a state."""
        embeddings = self._embeddings(state)
        own, whole = {}, {}
        for dimension, triplets in self.triplets.items():
            number = self.config.dimensions.index(dimension)
            right = own_and_whole(metrics.gaps(embeddings, triplets), number)
            own[dimension], whole[dimension] = (float(each.mean()) for each in right)
        if self.config.loss.method == "triplet":
            losses = triplet_losses(self.config, embeddings, self.triplets)
        else:
            losses = class_losses(self.config, state, embeddings, self.data)
        loss = float(np.mean(train_step.weights(self.config) * losses))
        return Measured(loss, own, whole, tracks=len(self.data))

    def _embeddings(self, state: State) -> np.ndarray:
        return track_embeddings.embed_tracks(
            self.config,
            self.data,
            functools.partial(self._embed, state),
            batch_size=self.config.evaluation.batch_size,
        )

    def compare(self, trained: State, training: DataSet) -> Table:
        """The table of a run: the scores of the trained and of the untrained network.

        Args:
          training: the split that the run trains on; see `untrained_states`.
        """
        starts = untrained_states(
            self.config, training, batch_size=self.config.evaluation.batch_size
        )
        return triplet_table(
            self._embeddings(trained),
            [self._embeddings(parallel.replicate(start)) for start in starts],
            self.triplets,
            self.data,
            self.config.dimensions,
        )

    def conclude(self, table: Table, path: Path) -> None:
        """Prints a table, and writes it as JSON."""
        write(table, path, data=self.data)
        show(table, data=self.data)


def triplet_losses(
    config: ConfigDict, embeddings: np.ndarray, triplets: Mapping[str, Triplets]
) -> np.ndarray:
    """The hinge losses of drawn triplets [S], each in its own sub-space (B Eq. 2).

    Mined triplets would not do: they are the hard ones of each state, and lose about half the
    margin however good it is.

    Args:
      embeddings: of the tracks [N, S, E / S], or [N, 1, E] without sub-spaces.
      triplets: per dimension; one without any loses nothing.
    """
    result, loss = np.zeros(len(config.dimensions)), config.loss
    for dimension, chosen in triplets.items():
        number = config.dimensions.index(dimension)
        own = embeddings[:, number if embeddings.shape[1] > 1 else 0]
        to_positive, to_negative = (
            np.linalg.norm(own[chosen.anchor] - own[other], axis=1)
            for other in (chosen.positive, chosen.negative)
        )
        if loss.distance == "cosine":  # of unit vectors
            to_positive, to_negative = to_positive**2 / 2, to_negative**2 / 2
        result[number] = np.maximum(to_positive - to_negative + loss.margin, 0).mean()
    return result


def class_losses(
    config: ConfigDict, state: State, embeddings: np.ndarray, data: DataSet
) -> np.ndarray:
    """The proxy or classification losses of all tracks [S]; an unlabelled dimension loses nothing.

    Args:
      embeddings: of the tracks [N, S, E / S], or [N, 1, E] without sub-spaces.
    """
    labels = {**data.tags, "tempo": data.tempo, "key": data.key, "index": np.arange(len(data))}
    classes = jax.device_get(train_step.classes(state.params))
    config = config.copy_and_resolve_references()
    config.loss.soft_weight = config.loss.tag_weight = 0.0  # validation measures the dimensions
    terms = jax.jit(functools.partial(objective_terms, key=jax.random.key(0), config=config))(
        embeddings.reshape(len(data), -1).astype(np.float32), classes, labels
    )
    return np.asarray(terms.loss.mean(), np.float64)


def own_and_whole(gaps: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Predictions [n] in dimension `number`'s own sub-space and in the whole space.

    Args:
      gaps: see `metrics.gaps`; with one column, the undivided space counts as its own.
    """
    own = gaps[:, number if gaps.shape[1] > 1 else 0]
    return metrics.right(own), metrics.right(gaps.sum(axis=1))


def triplet_table(
    embeddings: np.ndarray,
    untrained: Sequence[np.ndarray],
    triplets: Mapping[str, Triplets],
    data: DataSet,
    dimensions: Sequence[str],
) -> dict[str, dict[str, Score]]:
    """Scores per dimension: own sub-space, whole space, the untrained network's, and the gain.

    Args:
      embeddings: of the tracks [N, S, E / S], or [N, 1, E] without sub-spaces.
      untrained: the same of untrained networks, one for each of several seeds.

    Returns:
      Per dimension "own", "whole", "untrained" (its own sub-space, mean of the seeds), "gain" (own
      - untrained, paired by triplet; the interval is over groups and seeds) and "own_over_whole"
      (own - whole, paired by triplet).
    """
    groups = np.asarray(data.groups)
    table = {}
    for dimension, chosen in triplets.items():
        number = list(dimensions).index(dimension)
        own, whole = own_and_whole(metrics.gaps(embeddings, chosen), number)
        before = np.stack(
            [own_and_whole(metrics.gaps(each, chosen), number)[0] for each in untrained]
        )
        columns = dict(
            own=own, whole=whole, untrained=before, gain=own - before, own_over_whole=own - whole
        )
        table[dimension] = {
            name: metrics.bootstrap(values, groups[chosen.anchor])
            for name, values in columns.items()
        }
    return table


def show(table: Table, *, data: DataSet) -> None:
    """Prints one row per dimension and their mean."""
    shown = rich.table.Table(
        title=f"Triplet score on {len(data)} validation tracks of {len(set(data.groups))} pieces "
        f"never trained on (chance {CHANCE}, 95 % interval over pieces)"
    )
    shown.add_column("dimension")
    for heading in ("own sub-space", "whole space", "untrained, own", "gain", "own - whole"):
        shown.add_column(heading, justify="right")
    columns = ("own", "whole", "untrained", "gain", "own_over_whole")
    for dimension, scores in table.items():
        shown.add_row(dimension, *(str(scores[column]) for column in columns))
    means = (np.mean([scores[column].value for scores in table.values()]) for column in columns)
    shown.add_section()
    shown.add_row("mean", *(f"{mean:.3f}" for mean in means))
    rich.console.Console(width=130).print(shown)
    print(f"untrained: mean of {SEEDS} seeds; intervals of it and of the gain are over seeds too")
    learned = [dimension for dimension, scores in table.items() if scores["gain"].low > 0]
    print(
        f"above the untrained network by more than the interval: {len(learned)} of {len(table)}"
        + (f" ({', '.join(learned)})" if learned else "")
    )


def write(table: Table, path: Path, *, data: DataSet) -> None:
    """Writes the table with the data set it came from."""
    content = {
        "data": str(data.directory),
        "split": data.split,
        "tracks": len(data),
        "scores": {
            dimension: {name: dataclasses.asdict(score) for name, score in scores.items()}
            for dimension, scores in table.items()
        },
    }
    write_text(path, json.dumps(content, indent=1) + "\n")
