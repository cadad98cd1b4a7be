"""The papers' numbers, which a report shows beside ours. They come from the Million Song Dataset.

A: Ribecky, Abeßer, Lukashevich 2021; B: Lee, Bryan, Salamon, Jin, Nam, ISMIR 2020.
"""

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

# B Tables 1 and 4: training-time ratio, R@1, 2, 4, 8 (%), AUC, track-based and human-labelled
# triplets; by the row's config in `configs/lee2020_ismir`.
B_ROWS = {
    "triplet": ("triplet", 1.87, (31.8, 45.2, 59.9, 73.0), 0.815, 0.957, 0.820),
    "triplet_disentangled": (
        "triplet, disentangled",
        2.37,
        (36.5, 50.5, 64.1, 76.0),
        0.825,
        0.964,
        0.820,
    ),
    "triplet_disentangled_track": (
        "triplet, disentangled, track regularisation",
        3.05,
        (33.9, 47.5, 61.9, 74.3),
        0.813,
        0.961,
        0.852,
    ),
    "proxy": ("proxy", 1.11, (45.0, 58.5, 71.0, 80.9), 0.890, 0.978, 0.784),
    "proxy_disentangled": (
        "proxy, disentangled",
        1.29,
        (44.7, 58.2, 70.7, 80.6),
        0.890,
        0.978,
        0.791,
    ),
    "classification_unnormalised": (
        "classification, not normalised",
        1.00,
        (6.1, 11.5, 21.1, 35.9),
        0.887,
        0.978,
        0.780,
    ),
    "classification": ("classification", 1.00, (43.8, 57.8, 70.3, 80.3), 0.887, 0.978, 0.795),
    "classification_disentangled": (
        "classification, disentangled",
        1.27,
        (44.7, 58.4, 70.7, 80.9),
        0.890,
        0.984,
        0.801,
    ),
}

# B Table 3: tag-based triplets, own sub-space of the disentangled rows.
B_SUB_SPACE = {
    "triplet_disentangled": {"genre": 0.790, "mood": 0.785, "instrument": 0.798, "era": 0.797},
    "triplet_disentangled_track": {
        "genre": 0.775,
        "mood": 0.748,
        "instrument": 0.743,
        "era": 0.742,
    },
    "proxy_disentangled": {"genre": 0.777, "mood": 0.740, "instrument": 0.734, "era": 0.700},
    "classification_disentangled": {
        "genre": 0.775,
        "mood": 0.739,
        "instrument": 0.732,
        "era": 0.701,
    },
}
