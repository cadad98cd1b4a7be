"""A run: a configuration and a data set come in; checkpoints, logs and a model go out.

`run` is the loop, `train_step` what one step computes, `feed` its batches; `progress` and `monitor`
report on it. It must not know how a model is judged: a run is given its validation.
"""
