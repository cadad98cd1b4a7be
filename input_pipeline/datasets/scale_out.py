"""Works on many tracks with Apache Beam: locally, on Dataflow, Flink or Spark."""

import functools
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from input_pipeline import extras
from input_pipeline.datasets import workers


def analyse_all(
    tracks: Sequence[workers.Task], job: workers.Job, options: Sequence[str]
) -> Iterator[workers.Outcome]:
    """Like `workers.analyse_all`, in a Beam pipeline with the given options, such as --runner.

    Workers write the analyses and the outcome of each track into `job.folder`, which they must all
    see; an interrupted run resumes from there.

    Raises:
      ImportError: Apache Beam is not installed.
    """
    if job.tagger is not None:
        workers.compile_librosa()
    for_each(functools.partial(_analyse, job=job), tracks, options)
    for track, _ in tracks:
        yield workers.outcome(track, job)


def _analyse(task: workers.Task, job: workers.Job) -> None:
    track, kept = task
    workers.analyse_into_file(track, job, kept)


def for_each(function: Callable[[Any], None], tasks: Sequence[Any], options: Sequence[str]) -> None:
    """Calls a function with every task, on the workers of a Beam pipeline.

    Args:
      function: picklable.
      tasks: picklable.
      options: of the pipeline, such as --runner.

    Raises:
      ImportError: Apache Beam is not installed.
    """
    extras.need("beam")
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        _ = (
            pipeline
            # Pickled here: Beam's own encoding of dataclasses loses the types of their fields.
            | "Tasks" >> beam.Create([pickle.dumps(task) for task in tasks])
            | "Distribute" >> beam.Reshuffle()
            | "Work" >> beam.Map(_call, pickle.dumps(function))
        )


def _call(task: bytes, function: bytes) -> None:
    pickle.loads(function)(pickle.loads(task))
