"""The learning rate: warm-up, then divided by 5 on every plateau (A §3.4), or a cosine to 0."""

import dataclasses
import math

from ml_collections import ConfigDict

SCHEDULES = ("plateau", "cosine")


@dataclasses.dataclass(frozen=True)
class Plateau:
    """How often the rate was cut, and for how long the validation loss has not decreased."""

    cuts: int = 0
    best: float = math.inf
    waited: int = 0  # epochs

    def after_epoch(self, validation_loss: float, *, patience: int) -> "Plateau":
        """The state after one more epoch."""
        if validation_loss < self.best:
            return Plateau(self.cuts, validation_loss, 0)
        if self.waited + 1 >= patience:
            return Plateau(self.cuts + 1, self.best, 0)
        return Plateau(self.cuts, self.best, self.waited + 1)


def exhausted(config: ConfigDict, plateau: Plateau) -> bool:
    """Whether the rate has been cut once more than it may be, so that training stops (B §4.2)."""
    return 0 < config.optimiser.plateau_cuts < plateau.cuts


def learning_rate(config: ConfigDict, step: int, plateau: Plateau) -> float:
    """The rate of step `step` (0 = first)."""
    optimiser = config.optimiser
    rate = optimiser.learning_rate
    if optimiser.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * min(step / config.num_steps, 1.0)))
    else:
        rate = max(rate / optimiser.plateau_factor**plateau.cuts, optimiser.minimum_rate)
    return rate * min(1.0, (step + 1) / max(optimiser.warmup_steps, 1))
