"""What several test files need; fixtures are in the conftest files instead.

audio: samples, and the CSV files that name them
batches: a data set without files, whose numbers tell where they were read
states: training states with random parameters, and a batch for them
programs: how the programs of tests/programs are started
runs: the smallest training run
models: exported models with random parameters
libraries: libraries of given vectors, without audio
fuzzing: inputs damaged in every way, and what must not happen when they are read
machine: a machine with fake commands for the launch scripts
"""
