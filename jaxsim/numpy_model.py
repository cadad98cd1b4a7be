"""A trained model in NumPy alone: `load` it, and embed segments and tracks.

model = numpy_model.load()  # the one that comes with jaxsim; or load("runs/demo/model.npz")
vector = model.embed_track(mel, cens, onset)
vector[model.subspaces["key"]]
"""

from jaxsim.exported.numpy_model import SCORES, SHIPPED, Model, load

__all__ = ["SCORES", "SHIPPED", "Model", "load"]
