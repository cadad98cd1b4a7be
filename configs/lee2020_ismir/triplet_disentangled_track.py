r"""Triplets, disentangled, with track regularisation.

B Table 1: R@1 33.9, AUC 0.813, time ratio 3.05.

python -m jaxsim.train \
    --config=configs/lee2020_ismir/triplet_disentangled_track.py --workdir=runs/triplet_track
"""

from ml_collections import ConfigDict

from configs.lee2020_ismir import default


def get_config(variant: str = "paper") -> ConfigDict:
    config = default.get_config(variant)
    config.loss.update(track_weight=0.5)
    return config
