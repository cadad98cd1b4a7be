r"""Four dimensions, three inputs, an embedding of 256.

A Table 1: triplet score 0.8286 on dim-sim's 426 human-judged triplets.

python -m jaxsim.train \
    --config=configs/ribecky2021/four_multi_256.py --workdir=runs/four_multi_256
"""

from ml_collections import ConfigDict

from configs import six_dim


def get_config(variant: str = "paper") -> ConfigDict:
    config = six_dim.get_config(variant)
    config.dimensions = ("genre", "mood", "instrument", "era")
    config.model.embedding_size = 256
    return config
