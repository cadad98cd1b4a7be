"""The papers' numbers, which a report shows beside ours. They come from the Million Song Dataset.

A: Ribecky, Abeßer, Lukashevich 2021; B: Lee, Bryan, Salamon, Jin, Nam, ISMIR 2020.
"""

from typing import NamedTuple

# A Table 1: share of dim-sim's 426 triplets that are predicted correctly, by the row's config in
# `configs/ribecky2021`.
A_TRIPLET_SCORE = {
    "four_single_256": ("baseline: 4 dimensions, single input, 256", 0.8192),
    "four_multi_256": ("4 dimensions, three inputs, 256", 0.8286),
    "six_single_258": ("6 dimensions, single input, 258", 0.7934),
    "six_single_384": ("6 dimensions, single input, 384", 0.8169),
    "six_multi_384": ("6 dimensions, three inputs, 384", 0.8380),
    "openl3": ("OpenL3, 512", 0.7958),
}
A_TRIPLETS = 426  # one of them counts 0.23 points

# A Table 2: one sub-space alone on the same triplets.
A_SINGLE_DIMENSION = {
    "genre": 0.7535,
    "mood": 0.7535,
    "instrument": 0.6901,
    "era": 0.7559,
    "tempo": 0.5798,
    "key": 0.6362,
}


class Row(NamedTuple):
    """A row of B's tables.

    Attributes:
      time: of the training, as a ratio to the shortest (Table 1).
      recall: R@1, 2, 4 and 8 (Table 1), a share.
      auc: of tagging (Table 1).
      track, human: score of track-based triplets and of dim-sim's (Table 4).
      whole, own: score of each dimension's tag-based triplets in the complete space and in its own
        sub-space (Table 3); `own` is empty if the space is not divided.
    """

    time: float
    recall: tuple[float, float, float, float]
    auc: float
    track: float
    human: float
    whole: dict[str, float]
    own: dict[str, float]


def _tags(*scores: float) -> dict[str, float]:
    return dict(zip(("genre", "mood", "instrument", "era"), scores, strict=True))


# By the row's config in `configs/lee2020_ismir`.
B_ROWS = {
    "triplet": Row(
        1.87,
        (0.318, 0.452, 0.599, 0.730),
        0.815,
        0.957,
        0.820,
        whole=_tags(0.771, 0.725, 0.653, 0.701),
        own={},
    ),
    "triplet_disentangled": Row(
        2.37,
        (0.365, 0.505, 0.641, 0.760),
        0.825,
        0.964,
        0.820,
        whole=_tags(0.762, 0.744, 0.696, 0.733),
        own=_tags(0.790, 0.785, 0.798, 0.797),
    ),
    "triplet_disentangled_track": Row(
        3.05,
        (0.339, 0.475, 0.619, 0.743),
        0.813,
        0.961,
        0.852,
        whole=_tags(0.757, 0.733, 0.673, 0.715),
        own=_tags(0.775, 0.748, 0.743, 0.742),
    ),
    "proxy": Row(
        1.11,
        (0.450, 0.585, 0.710, 0.809),
        0.890,
        0.978,
        0.784,
        whole=_tags(0.774, 0.742, 0.645, 0.693),
        own={},
    ),
    "proxy_disentangled": Row(
        1.29,
        (0.447, 0.582, 0.707, 0.806),
        0.890,
        0.978,
        0.791,
        whole=_tags(0.762, 0.742, 0.660, 0.716),
        own=_tags(0.777, 0.740, 0.734, 0.700),
    ),
    "classification_unnormalised": Row(
        1.00,
        (0.061, 0.115, 0.211, 0.359),
        0.887,
        0.978,
        0.780,
        whole=_tags(0.783, 0.745, 0.659, 0.723),
        own={},
    ),
    "classification": Row(
        1.00,
        (0.438, 0.578, 0.703, 0.803),
        0.887,
        0.978,
        0.795,
        whole=_tags(0.776, 0.747, 0.647, 0.704),
        own={},
    ),
    "classification_disentangled": Row(
        1.27,
        (0.447, 0.584, 0.707, 0.809),
        0.890,
        0.984,
        0.801,
        whole=_tags(0.758, 0.742, 0.659, 0.715),
        own=_tags(0.775, 0.739, 0.732, 0.701),
    ),
}
