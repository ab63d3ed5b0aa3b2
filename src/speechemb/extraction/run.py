"""From a list of clips to an npz: batches of clips of similar length, decoded, embedded, written; several at once.

The batches depend only on the clips and the settings, so that a resumed run computes what an uninterrupted one would
have, to the byte.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechemb.artifacts import embeddings, provenance, storage
from speechemb.audio import augmentation
from speechemb.encoders import Encoder
from speechemb.errors import InputError, first
from speechemb.extraction.batching import in_order, plan_batches
from speechemb.extraction.clips import columns_of, waveforms_of
from speechemb.extraction.resume import Partial


@dataclass
class ExtractionRun:
    """One extraction: a model, what to take from it, and where the clips came from."""

    model: Encoder
    tag: str
    source: str  # where the encoder was loaded from, for predict.py
    layers: list[int]
    methods: list[str]
    precision: str  # as asked for; model.precision is what was used
    inputs: list[dict[str, str]]
    limit: int | None
    copies: int = 0  # changed copies a clip

    @property
    def content(self) -> dict[str, Any]:
        """What decides the file's content."""
        return {
            "encoder": {"tag": self.tag, **self.model.identity},
            "layers": self.layers,
            "pooling": self.methods,
            "precision_asked": self.precision,
            "metadata": [item["sha256"] for item in self.inputs],
            "limit": self.limit,
            "augment": augmentation.settings(self.copies),
        }

    @property
    def fingerprint(self) -> str:
        """The fingerprint the finished npz will carry."""
        return provenance.stamp("embeddings", storage.SCHEMA, **self.content)["fingerprint"]

    def extract(self, clips: pd.DataFrame, left_out: pd.DataFrame, out: Path, batch_seconds: int, overwrite: bool):
        """Compute what is not yet in `<out>.partial`, write `out`, and remove the partial folder."""
        clips = augmentation.with_copies(clips, self.copies)
        shape = (len(clips), len(self.layers), self.model.dim * len(self.methods))
        settings = {"fingerprint": self.fingerprint, "batch_seconds": batch_seconds, "shape": list(shape)}
        partial = Partial(out, shape, settings, overwrite)
        self.fill(partial, clips, batch_seconds)
        meta = provenance.stamp("embeddings", storage.SCHEMA, **self.content)
        used = {"precision": self.model.precision, "inputs": self.inputs, "encoder_source": self.source}
        embeddings.write(out, partial.rows, columns_of(clips, left_out, self.layers), {**meta, **used})
        partial.remove()

    def fill(self, partial: Partial, clips: pd.DataFrame, batch_seconds: float) -> None:
        """Compute the batches that `partial` lacks, with a progress bar over the seconds of audio."""
        from tqdm import tqdm

        def rows_of(batch: np.ndarray) -> np.ndarray:
            return self.model.embed(waveforms_of(clips.iloc[batch]), self.layers, self.methods)

        durations, done = clips["duration_s"].to_numpy(), partial.done()
        batches = list(enumerate(plan_batches(durations, batch_seconds)))
        todo = [(number, batch) for number, batch in batches if number not in done]
        finished = np.concatenate([batch for number, batch in batches if number in done] or [np.empty(0, int)])
        clips_done = len(finished)
        layout = "{l_bar}{bar}| {n:.0f}/{total:.0f} audio s [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
        pause = 1 if sys.stderr.isatty() else 30  # a log file needs no line a second
        with tqdm(total=float(durations.sum()), unit=" audio s", bar_format=layout, mininterval=pause) as bar:
            bar.update(float(durations[finished].sum()))
            computed = in_order(rows_of, [batch for _, batch in todo], self.model.workers, not self.model.settled)
            for (number, batch), rows in zip(todo, computed, strict=True):
                if not (finite := np.isfinite(rows).all(axis=(1, 2))).all():
                    wrong = first(clips["clip_id"].to_numpy()[batch][~finite])
                    raise InputError(f"the encoder gave numbers that are not finite for {wrong}: try --precision fp32")
                partial.store(number, batch, rows, self.model.precision)
                clips_done += len(batch)
                bar.set_postfix_str(f"{clips_done}/{len(clips)} clips", refresh=False)
                bar.update(float(durations[batch].sum()))
