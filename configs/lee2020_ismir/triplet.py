r"""Triplets, not disentangled.

B Table 1: R@1 31.8, AUC 0.815, time ratio 1.87.

python -m jaxsim.train \
    --config=configs/lee2020_ismir/triplet.py --workdir=runs/triplet
"""

from ml_collections import ConfigDict

from configs.lee2020_ismir import default


def get_config(variant: str = "paper") -> ConfigDict:
    config = default.get_config(variant)
    config.loss.update(disentangled=False)
    return config
