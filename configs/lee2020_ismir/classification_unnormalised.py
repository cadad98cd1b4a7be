r"""Classification of embeddings that are not normalised, not disentangled.

B Table 1: R@1 6.1, AUC 0.887, time ratio 1.00.

python -m jaxsim.train \
    --config=configs/lee2020_ismir/classification_unnormalised.py --workdir=runs/unnormalised
"""

from ml_collections import ConfigDict

from configs.lee2020_ismir import default


def get_config(variant: str = "paper") -> ConfigDict:
    config = default.get_config(variant)
    config.loss.update(method="classification", normalised=False, disentangled=False)
    return config
