"""From a list of clips to an npz: batches of clips of similar length are decoded, embedded and written.

The batches depend only on the clips and the settings, so that a resumed run gives the same bytes as an uninterrupted
one.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import embeddings, provenance, storage
from speechemb.audio import augmentation
from speechemb.encoders import Encoder, failures
from speechemb.encoders.batching import in_order, plan_batches
from speechemb.encoders.progress import ProgressBar
from speechemb.extraction.clips import columns_of, waveforms_of
from speechemb.extraction.resume import Partial

log = logging.getLogger(__name__)


@dataclass
class ExtractionRun:
    """One extraction: the model, the layers and pooling to take from it, and where the clips came from."""

    model: Encoder
    tag: str
    source: str  # where the encoder was loaded from, for predict.py
    layers: list[int]
    methods: list[str]
    precision: str  # as given with --precision; model.precision is the one used
    inputs: list[dict[str, str]]
    limit: int | None
    command: str  # that makes the file
    copies: int = 0  # augmented copies per clip

    @property
    def content(self) -> dict[str, Any]:
        """What determines the content of the file."""
        return {
            "encoder": {"tag": self.tag, **self.model.identity},
            "layers": self.layers,
            "pooling": self.methods,
            "precision_asked": self.precision,
            "metadata": [item["sha256"] for item in self.inputs],
            "limit": self.limit,
            "augment": augmentation.settings(self.copies),
        }

    def stamp(self) -> dict[str, Any]:
        """The stamp that the finished npz will have."""
        stamp = provenance.stamp("embeddings", storage.SCHEMA, self.command, **self.content)
        return {**stamp, "inputs": self.inputs}

    def extract(self, clips: pd.DataFrame, excluded: pd.DataFrame, out: Path, batch_seconds: int, overwrite: bool):
        """Compute what `<out>.partial` does not hold yet, write `out`, and remove the partial folder."""
        clips = augmentation.with_copies(clips, self.copies)
        shape = (len(clips), len(self.layers), self.model.dim * len(self.methods))
        settings = {"fingerprint": self.stamp()["fingerprint"], "batch_seconds": batch_seconds, "shape": list(shape)}
        partial = Partial(out, shape, settings, overwrite)
        windowed = self._windowed(clips)
        if windowed:
            window = self.model.identity["window_s"]
            log.info("%d of %d clips are longer than %d s: embedded in windows", windowed, len(clips), window)
        self.fill(partial, clips, batch_seconds)
        meta = {**self.stamp(), "precision": self.model.precision, "encoder_source": self.source}
        meta["windowed_clips"] = windowed
        rows: Any = partial.rows  # read like an array, some rows at a time
        embeddings.write(out, rows, columns_of(clips, excluded, self.layers), meta)
        partial.remove()

    def fill(self, partial: Partial, clips: pd.DataFrame, batch_seconds: float) -> None:
        """Compute the batches that `partial` lacks, with a progress bar over the seconds of audio.

        Raises:
            InputError: the encoder gives numbers that are not finite.
        """
        seconds = clips["duration_s"].to_numpy()
        batches = plan_batches(seconds, batch_seconds)
        done = partial.done(batches)
        stored = np.concatenate([batches[number] for number in sorted(done)] or [np.empty(0, int)])
        todo = [(number, batch) for number, batch in enumerate(batches) if number not in done]
        computed = in_order(
            lambda batch: self._embed(clips.iloc[batch]),
            [batch for _, batch in todo],
            self.model.workers,
            first_alone=not self.model.settled,
            start=self.model.start_worker,
        )
        clips_done = len(stored)
        with ProgressBar(seconds.sum(), seconds[stored].sum()) as bar:
            for (number, batch), rows in zip(todo, computed, strict=True):
                partial.store(number, batch, rows, self.model.precision)
                clips_done += len(batch)
                bar.add(seconds[batch].sum(), f"{clips_done}/{len(clips)} clips")

    def _embed(self, clips: pd.DataFrame) -> np.ndarray:
        """(clips, layers, dimensions) float32 of one batch."""
        with failures.memory(f"embedding {len(clips)} clips of {clips['duration_s'].sum():.0f} s together"):
            given: Any = waveforms_of(clips) if self.model.reads_audio else clips["clip_id"].tolist()
            rows = self.model.embed(given, self.layers, self.methods)
        failures.check_finite(rows, clips["clip_id"].tolist(), self.model.precision)
        return rows

    def _windowed(self, clips: pd.DataFrame) -> int:
        """How many clips the encoder cuts into windows."""
        window = self.model.identity.get("window_s")
        return 0 if window is None else int((clips["duration_s"] > window).sum())
