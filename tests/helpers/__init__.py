"""Helpers for several test files; fixtures are in the conftest files instead.

audio: samples, and the CSV files that name them
batches: a data set without files, whose values show where they were read
states: training states with random parameters, and a batch for them
programs: how to start the programs in tests/programs
runs: the smallest training run
models: exported models with random parameters
libraries: libraries of given vectors, without audio
fuzzing: inputs damaged in many ways, and what must not happen when they are read
machine: a machine with fake commands for the launch scripts
"""
