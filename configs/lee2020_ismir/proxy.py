r"""Proxies, not disentangled.

B Table 1: R@1 45.0, AUC 0.890, time ratio 1.11.

python -m jaxsim.train \
    --config=configs/lee2020_ismir/proxy.py --workdir=runs/proxy
"""

from ml_collections import ConfigDict

from configs.lee2020_ismir import default


def get_config(variant: str = "paper") -> ConfigDict:
    config = default.get_config(variant)
    config.loss.update(method="proxy", disentangled=False)
    return config
