"""Extracts the features of many tracks with Apache Beam: locally, on Dataflow, Flink or Spark."""

import pickle
from collections.abc import Iterator, Sequence

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
    extras.need("beam")
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    if job.tagger is not None:
        workers.compile_librosa()
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        _ = (
            pipeline
            | "Tracks" >> beam.Create([pickle.dumps(task) for task in tracks])
            | "Distribute" >> beam.Reshuffle()
            | "Analyse" >> beam.Map(_analyse, job)
        )
    for track, _ in tracks:
        yield workers.outcome(track, job)


def _analyse(pickled: bytes, job: workers.Job) -> None:
    # Pickled here: Beam's own encoding of dataclasses loses the types of their fields.
    track, kept = pickle.loads(pickled)
    workers.analyse_into_file(track, job, kept)
