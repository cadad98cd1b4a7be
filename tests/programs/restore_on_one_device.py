"""Prints a bias from a checkpoint, with one device: restore_on_one_device.py RUN"""

import sys

import jax

from jaxsim.training.saving.checkpoints import restore_for_inference

assert jax.device_count() == 1
print(restore_for_inference(sys.argv[1])[1]["head"]["bias"].tolist())
