"""The features of many tracks by Apache Beam: on this machine, Dataflow, Flink or Spark."""

import pickle
from collections.abc import Iterator, Sequence

from input_pipeline import workers
from input_pipeline.tracks import Track


def analyse_all(
    tracks: Sequence[tuple[Track, str]], job: workers.Job, options: Sequence[str]
) -> Iterator[workers.Outcome]:
    """As `workers.analyse_all`, by a Beam pipeline with the given options, such as --runner.

    Workers write the analyses and what became of each track into `job.folder`, which they must all
    see; a run that was interrupted goes on from there.

    Raises:
      ImportError: Apache Beam is not installed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise ImportError(
            f"--beam_options needs Apache Beam ({error}): pip install 'jaxsim[beam]'"
        ) from None
    workers.compile_librosa(job.feature_config)
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
    # Pickled by us: Beam's own coding of dataclasses does not keep the types of their fields.
    track, kept = pickle.loads(pickled)
    workers.analyse_into_file(track, job, kept)
