"""From music to batches: folders, manifests and public data sets come in, NumPy batches go out.

`sources` and `scores` say which tracks there are, `hearing` turns audio into features, `datasets`
stores and reads them, and `prepare` is the command. It must not know jaxsim, JAX or devices.
"""

import os

from input_pipeline import cache

# TensorFlow only stores and reads records here; otherwise it would start with a page of log lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
cache.make_room_for_numba()
