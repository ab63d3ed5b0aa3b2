"""The run of predict.py: batches are read and embedded on all cores, and their rows written chunk by chunk."""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from speechemb.audio.files import printable
from speechemb.encoders.batching import in_order
from speechemb.encoders.progress import ProgressBar
from speechemb.inference.model import Model, normalised_words, speaker_of
from speechemb.inference.results import File, Terminal
from speechemb.inference.work import Batch, Piece, Work
from speechemb.paths import shown

log = logging.getLogger(__name__)

Vectors = list[np.ndarray | None]  # the features of each piece, None where it has a fault


def embedded(model: Model, batches: Iterator[Batch]) -> Iterator[tuple[Batch, Vectors]]:
    """The batches in order, each with the features of its pieces; several are computed at the same time."""

    def work(batch: Batch) -> tuple[Batch, Vectors]:
        for piece in batch.pieces:
            piece.read()
        sound = [piece for piece in batch.pieces if not piece.fault]
        good = [(piece.path, piece.waveform) for piece in sound if piece.waveform is not None]
        vectors = iter(model.features(good) if good else ())
        for piece in batch.pieces:
            piece.waveform = None  # it is not needed any more, and a chunk has many
        return batch, [None if piece.fault else next(vectors) for piece in batch.pieces]

    settled = all(encoder.settled for encoder in model.encoders)
    return in_order(work, batches, model.workers, first_alone=not settled, start=model.start_worker)


def predict(model: Model, work: Work, results: File | Terminal, overwrite: bool = False) -> None:
    """Write the rows that `results` lacks, with a progress bar over the seconds of audio."""
    place = results.begin(overwrite)
    chunk: list[tuple[int, Piece, np.ndarray | None]] = []
    with ProgressBar(work.seconds.sum(), work.done(place)) as bar:
        for batch, vectors in embedded(model, work.batches(model.batch_seconds, place)):
            chunk += zip(batch.order, batch.pieces, vectors, strict=True)
            if batch.then:
                chunk.sort(key=lambda item: item[0])
                results.add(*rows_of(model, [item[1:] for item in chunk]), batch.then)
                chunk = []
            bar.add(batch.seconds, f"{results.written} rows")


def rows_of(model: Model, chunk: list[tuple[Piece, np.ndarray | None]]) -> tuple[list[list], list[list[str]]]:
    """The rows of a chunk, and the recordings that cannot be used, each with the reason.

    A segment that cannot be used, such as one without sound, has a row without probabilities.
    """
    usable = [vector for _, vector in chunk if vector is not None]
    answers = iter(model.answers(np.stack(usable)) if usable else ())
    rows, excluded = [], []
    for piece, vector in chunk:
        path, times = printable(shown(piece.path)), [] if piece.start is None else [piece.start, piece.end]
        if vector is not None:
            rows.append([path, *times, *next(answers)])
        elif times:
            rows.append([path, *times, *model.no_answer(piece.fault)])
        else:
            excluded.append([path, piece.fault])
    return rows, excluded


def enrolled(model: Model, files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """The statistics of the speaker's enrolment recordings, see `speaker_of`; says which of them cannot be used."""
    found = []
    for batch, vectors in embedded(model, Work(files).batches(model.batch_seconds)):
        found += [vector for vector in vectors if vector is not None]
        for piece in batch.pieces:
            if piece.fault:
                log.warning("--enrol: %s excluded: %s", printable(shown(piece.path)), piece.fault)
    speaker = speaker_of(np.stack(found) if found else np.empty((0, 1)))
    log.info("%s: %d enrolment recordings", normalised_words(model.meta), len(found))
    return speaker


def digest(files: list[Path]) -> str:
    """A hash of the names, sizes and times of files: to read all of them once more would take too long."""
    text = hashlib.sha256()
    for path in files:
        try:
            found = path.stat()
            state = f"{found.st_size}\0{found.st_mtime_ns}"
        except OSError:  # a link to nothing, which is excluded later
            state = ""
        text.update(f"{shown(path)}\0{state}\n".encode("utf-8", "surrogateescape"))
    return text.hexdigest()
