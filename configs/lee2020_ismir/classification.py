r"""Classification, not disentangled.

B Table 1: R@1 43.8, AUC 0.887, time ratio 1.00.

python -m jaxsim.train \
    --config=configs/lee2020_ismir/classification.py --workdir=runs/classification
"""

from ml_collections import ConfigDict

from configs.lee2020_ismir import default


def get_config(variant: str = "paper") -> ConfigDict:
    config = default.get_config(variant)
    config.loss.update(method="classification", disentangled=False)
    return config
