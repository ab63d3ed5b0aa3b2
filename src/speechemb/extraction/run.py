"""From a list of clips to an npz: batches of clips of similar length are decoded, embedded and written.

The batches depend only on the clips and the settings, so that a resumed run gives the same bytes as an uninterrupted
one.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
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

# Clips, and of the batches to compute the numbers and the clips' places -> number and rows of each, in any order.
Compute = Callable[[pd.DataFrame, dict[int, np.ndarray]], Iterable[tuple[int, np.ndarray]]]


@dataclass(frozen=True)
class Plan:
    """What there is to compute: the clips, the places (int64) of those of each batch, and what the batches follow."""

    clips: pd.DataFrame
    batches: list[np.ndarray]
    batch_seconds: float


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
    read: Callable[[pd.DataFrame], list] = waveforms_of

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

    def plan(self, clips: pd.DataFrame, batch_seconds: float) -> Plan:
        """The clips, their augmented copies included, and their division into batches."""
        clips = augmentation.with_copies(clips, self.copies)
        if windowed := self._windowed(clips):
            window = self.model.identity["window_s"]
            log.info("%d of %d clips are longer than %d s: embedded in windows", windowed, len(clips), window)
        return Plan(clips, plan_batches(clips["duration_s"].to_numpy(), batch_seconds), batch_seconds)

    def partial(self, out: Path, plan: Plan, n_rows: int) -> Partial:
        """The folder for an unfinished run of `n_rows` of the plan's clips."""
        settings = {**self.content, "batch_seconds": plan.batch_seconds, "clips": len(plan.clips)}
        return Partial(out, (n_rows, *self._row), settings)

    @property
    def _row(self) -> tuple[int, int]:
        """Layers and dimensions of a clip."""
        return len(self.layers), self.model.dim * len(self.methods)

    def extract(
        self, plan: Plan, excluded: pd.DataFrame, out: Path, overwrite: bool, compute: Compute | None = None
    ) -> None:
        """Compute what `<out>.partial` does not hold yet, write `out`, and remove the partial folder.

        `compute`: another way to compute batches than `self.compute`.
        """
        partial = self.partial(out, plan, len(plan.clips))
        partial.begin(overwrite)
        self.fill(partial, plan.clips, plan.batches, compute or self.compute)
        self.write(out, partial.rows, plan, excluded, self.model.precision)
        partial.remove()

    def write(self, out: Path, rows: Any, plan: Plan, excluded: pd.DataFrame, precision: str) -> None:
        """Write the npz; `rows` is read like an array (clips, layers, dimensions), some rows at a time."""
        meta = {**self.stamp(), "precision": precision, "encoder_source": self.source}
        meta["windowed_clips"] = self._windowed(plan.clips)
        embeddings.write(out, rows, columns_of(plan.clips, excluded, self.layers), meta)

    def fill(self, partial: Partial, clips: pd.DataFrame, batches: list[np.ndarray], compute: Compute) -> None:
        """Compute the batches that `partial` lacks, with a progress bar over the seconds of audio.

        Raises:
            InputError: the encoder gives numbers that are not finite.
        """
        seconds = clips["duration_s"].to_numpy()
        done = partial.done(batches)
        stored = np.concatenate([batches[number] for number in sorted(done)] or [np.empty(0, int)])
        todo = {number: batch for number, batch in enumerate(batches) if number not in done}
        clips_done = len(stored)
        with ProgressBar(seconds.sum(), seconds[stored].sum()) as bar:
            for number, rows in compute(clips, todo):
                partial.store(number, batches[number], rows, self.model.precision)
                clips_done += len(batches[number])
                bar.add(seconds[batches[number]].sum(), f"{clips_done}/{len(clips)} clips")

    def compute(self, clips: pd.DataFrame, todo: dict[int, np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        """Number and rows of each batch, computed in this process."""
        computed = in_order(
            lambda batch: embedded(self.model, clips.iloc[batch], self.layers, self.methods, self.read),
            todo.values(),
            self.model.workers,
            first_alone=not self.model.settled,
            start=self.model.start_worker,
        )
        return zip(todo, computed, strict=True)

    def _windowed(self, clips: pd.DataFrame) -> int:
        """How many clips the encoder cuts into windows."""
        window = self.model.identity.get("window_s")
        return 0 if window is None else int((clips["duration_s"] > window).sum())


def embedded(
    model: Encoder,
    clips: pd.DataFrame,
    layers: list[int],
    methods: list[str],
    read: Callable[[pd.DataFrame], list] = waveforms_of,
) -> np.ndarray:
    """(clips, layers, dimensions) float32 of one batch. `read`: gives the clips' waveforms.

    Raises:
        InputError: a recording cannot be read, the memory is too small, or a number of the encoder is not finite.
    """
    with failures.memory(f"embedding {len(clips)} clips of {clips['duration_s'].sum():.0f} s together"):
        given: Any = read(clips) if model.reads_audio else clips["clip_id"].tolist()
        rows = model.embed(given, layers, methods)
    failures.check_finite(rows, clips["clip_id"].tolist(), model.precision)
    return rows
