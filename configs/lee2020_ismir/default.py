"""What the eight rows of B's Table 1 share (B §4.1, §4.2): mel only, four dimensions, 4 x 64."""

from ml_collections import ConfigDict

from configs import six_dim


def get_config(variant: str = "paper") -> ConfigDict:
    config = six_dim.get_config(variant)
    config.loss.track_weight = 0.0  # but in the row that is named after it
    config.dimensions = ("genre", "mood", "instrument", "era")
    config.model.inputs = ("mel",)
    config.model.embedding_size = 256
    config.relation.tags = "sampled_label"  # B §3.1
    config.relation.unlabelled = "negative"
    if variant == "paper":
        config.loss.pick = "any"  # negatives of triplets are drawn, not mined (B §3.1)
        # Every training sample is an anchor (B §5): 201,680 tracks / 128 groups of a batch.
        config.data.draw = "every_track"
        config.steps_per_epoch = 1576
        config.model.embedding_norm = "none"  # unit vectors in the objective are B's normalisation
        config.optimiser.learning_rate = 0.005
        config.optimiser.plateau_cuts = 5  # then training stops
    return config
