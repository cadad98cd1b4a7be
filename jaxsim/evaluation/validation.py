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
from jaxsim.training import train_step
from jaxsim.training.feed import Feed
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
        # Validation data may lack a dimension; training data must have them all.
        self._feed = Feed(config, data, dimensions=tuple(self.triplets))
        self._loss_step = parallel.map_over_devices(
            functools.partial(train_step.validation_terms, config),
            split=(False, True),
            mapping=config.parallel.mapping,
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
        return Measured(self._loss(state), own, whole, tracks=len(self.data))

    def _loss(self, state: State) -> float:
        config = self.config
        batches = self._feed.batches(first_step=0, num_steps=config.evaluation.loss_batches)
        terms = [jax.device_get(self._loss_step(state, self._feed.place(each))) for each in batches]
        total = jax.tree.map(lambda *x: np.sum(x, axis=0), *(term.loss for term in terms))
        loss = float(np.mean(train_step.weights(config) * total.mean()))
        if config.loss.track_weight:
            track = jax.tree.map(lambda *x: np.sum(x), *(term.track for term in terms))
            loss += config.loss.track_weight * float(track.mean())
        return loss

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
