r"""Six dimensions, three inputs, an embedding of 384 (their best model).

A Table 1: triplet score 0.8380 on dim-sim's 426 human-judged triplets.

python -m jaxsim.train \
    --config=configs/ribecky2021/six_multi_384.py --workdir=runs/six_multi_384
"""

from ml_collections import ConfigDict

from configs import six_dim


def get_config(variant: str = "paper") -> ConfigDict:
    return six_dim.get_config(variant)
