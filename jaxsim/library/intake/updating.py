"""Brings a library up to date: embeds tracks that are new or have changed, and nothing else."""

from collections.abc import Sequence
from pathlib import Path

from input_pipeline.hearing import audio
from input_pipeline.hearing.audio import LONGEST
from jaxsim.library.intake import sources
from jaxsim.library.intake.additions import Additions
from jaxsim.library.intake.comparison import Comparison
from jaxsim.library.intake.embedding import Embedder
from jaxsim.library.intake.reports import Report
from jaxsim.library.store import writing


def update(
    library: Sequence[str | Path],
    folder: str | Path,
    *,
    embedder: Embedder,
    workers: int = 1,
    max_seconds: float = LONGEST,
    exclude: Sequence[str] = (),
    read_tags: bool = False,
    prune: bool = False,
    confirm_gone: bool = False,
    beam_options: Sequence[str] = (),
) -> Report:
    """Brings the store in `folder` up to date with the tracks of `library`.

    Tracks that are neither below the folders of `library` nor named by it stay as they are. A track
    is recognised by its audio: it keeps its id and its vector when its file is moved, renamed or
    retagged. Tracks whose file is gone are hidden, and come back with their vector when it returns;
    but if so many are missing that a disk may be, nothing is hidden, and the report has `faults`.
    Tracks of a prepared data set are embedded from its features; their files need not exist.

    Args:
      library: folders, audio files, manifests and prepared data sets.
      folder: the store; created if it does not exist.
      embedder: must have the store's model.
      workers: number of processes that read audio.
      max_seconds: longer files are skipped.
      exclude: patterns as in .gitignore of what is left out of folders.
      read_tags: whether to read the tags of files that seem unchanged, too.
      prune: whether to forget what is gone and to reclaim its space, unless there are faults.
      confirm_gone: whether missing files are gone however many they are.
      beam_options: if given, Apache Beam embeds the files, with these pipeline options, and not
        processes on this machine; all of its workers must see the files and the store's folder.

    Raises:
      FileNotFoundError: something in `library` does not exist.
      ValueError: a manifest, a data set or the store is invalid, or of another model.
      ImportError: Apache Beam is to embed, but is not installed.
    """
    found = sources.find(library, embedder.feature_config, exclude=exclude)
    with writing.open(folder, embedder.description(), embedder.file) as writer:
        heard_by = f"{audio.DECODER}, {max_seconds:.0f} s"
        compared = Comparison(writer, found, workers=workers, heard_by=heard_by)
        report = compared.report
        try:
            compared.free_ids()
            compared.follow_links()
            compared.sort()
            compared.recognise()
            if read_tags:
                compared.read_tags()
            compared.hide_gone(library, confirm_gone)
            additions = Additions(compared, embedder, max_seconds=max_seconds)
            additions.embed(beam_options)
            additions.settle_lost(confirm_gone)
        finally:
            writer.measure_cosines()
        if prune and not report.faults:
            report.forgotten = writer.prune()
        report.unheard = writer.unheard()
    return report
