"""From a split of a data set to batches on the devices."""

from collections.abc import Iterator

import jax
from ml_collections import ConfigDict

from input_pipeline.datasets.batches import Batch, composed_batches
from input_pipeline.datasets.dataset import DataSet
from input_pipeline.datasets.partners import partners_of
from input_pipeline.datasets.teacher import OfCrops, tag_teacher, teacher
from input_pipeline.tracks import TAG_DIMENSIONS
from jaxsim.network import inputs
from jaxsim.objective.terms import label_names
from jaxsim.training.data import without_unsure
from jaxsim.training.machines import parallel


class Feed:
    """The batches of one split, composed as the configuration says."""

    def __init__(self, config: ConfigDict, data: DataSet):
        """Prepares the drawing of groups, once for all batches.

        Raises:
          ValueError: see `partners_of`, `teacher` and `tag_teacher`.
        """
        self.config, self.data = config, data
        self._labelled = without_unsure(data, config.data.unsure)
        self._partners = partners_of(
            self._labelled,
            config.dimensions,
            tempo_tolerance=config.relation.tempo_tolerance,
            key_relation=config.relation.key,
            track_pairs=config.loss.track_weight > 0,
        )
        self._of_crops: dict[str, OfCrops] = {}
        if config.loss.soft_weight:
            self._of_crops["teacher"] = teacher(data, config.loss.teacher)
        if config.loss.tag_weight:
            for name in config.dimensions:
                if name in TAG_DIMENSIONS:
                    of = tag_teacher(data, name, config.loss.teacher)
                    self._of_crops[f"teacher_{name}"] = of

    def batches(self, *, first_step: int, num_steps: int) -> Iterator[Batch]:
        """This process's rows of the batches of steps first_step to num_steps - 1."""
        return self._composed(first_step, num_steps, jax.process_index(), jax.process_count())

    def whole_batch(self, step: int) -> Batch:
        """The batch of a step with the rows of all processes."""
        (batch,) = self._composed(step, step + 1, 0, 1)
        return batch

    def _composed(
        self, first_step: int, num_steps: int, process_index: int, process_count: int
    ) -> Iterator[Batch]:
        config = self.config
        return composed_batches(
            self._labelled,
            self._partners,
            batch_size=config.batch_size,
            seed=config.seed,
            first_step=first_step,
            num_steps=num_steps,
            group_size=config.data.group_size,
            draw=config.data.draw,
            process_index=process_index,
            process_count=process_count,
            read_ahead=config.data.read_ahead,
            of_crops=self._of_crops,
        )

    def place(self, batch: Batch):
        """What the step needs from a batch of this process, on its devices."""
        wanted = (*inputs.FEATURES, *label_names(self.config))
        return parallel.to_devices(
            {name: batch[name] for name in wanted}, local_devices=jax.local_device_count()
        )
