"""Tracks, features, labels and data sets: everything between audio files and NumPy batches."""

import os

# TensorFlow only stores and reads records here; otherwise it would start with a page of log lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
