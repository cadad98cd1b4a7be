"""A trained model as one file: an array for every layer comes in, embeddings in NumPy go out.

`model_format` checks files from anywhere, `numpy_model` computes the network from them, and
`model_writing` writes them. It needs NumPy alone and must not know JAX, TensorFlow or librosa.
"""
