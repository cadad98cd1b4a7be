r"""Triplets, disentangled.

B Table 1: R@1 36.5, AUC 0.825, time ratio 2.37.

python -m jaxsim.train \
    --config=configs/lee2020_ismir/triplet_disentangled.py --workdir=runs/triplet_disentangled
"""

from ml_collections import ConfigDict

from configs.lee2020_ismir import default


def get_config(variant: str = "paper") -> ConfigDict:
    return default.get_config(variant)
