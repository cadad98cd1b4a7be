r"""Proxies, disentangled.

B Table 1: R@1 44.7, AUC 0.890, time ratio 1.29.

python -m jaxsim.train \
    --config=configs/lee2020_ismir/proxy_disentangled.py --workdir=runs/proxy_disentangled
"""

from ml_collections import ConfigDict

from configs.lee2020_ismir import default


def get_config(variant: str = "paper") -> ConfigDict:
    config = default.get_config(variant)
    config.loss.update(method="proxy")
    return config
