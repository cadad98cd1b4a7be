r"""C's model: triplets of Euclidean distances, disentangled, with track regularisation.

Lee et al., "Disentangled multidimensional metric learning for music similarity", ICASSP 2020. Its
dimensions are genre, mood, instrument and tempo (B §2.2); in B, era replaces tempo (B §4.1). Tempi
are similar by A's rule, and an epoch takes every track as in B. In B Table 4 its successor scores
0.852 on the human-labelled triplets.

python -m jaxsim.train \
    --config=configs/lee2020_icassp/euclidean_track.py --workdir=runs/euclidean
"""

from ml_collections import ConfigDict

from configs.lee2020_ismir import default


def get_config(variant: str = "paper") -> ConfigDict:
    config = default.get_config(variant)
    config.dimensions = ("genre", "mood", "instrument", "tempo")
    config.loss.update(distance="euclidean", track_weight=0.5)
    config.relation.tags = "any_shared"
    config.relation.unlabelled = "excluded"
    if variant == "paper":
        config.optimiser.learning_rate = 0.01
        config.optimiser.plateau_patience = 4
    return config
