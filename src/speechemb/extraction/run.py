"""From a list of clips to an npz: batches of clips of similar length, decoded, embedded, written; several at once.

The batches depend only on the clips and the settings, so that a resumed run computes what an uninterrupted one would
have, to the byte.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import pandas as pd

from speechemb.artifacts import embeddings, provenance, storage
from speechemb.audio import augmentation, decoding
from speechemb.errors import InputError, first
from speechemb.extraction.resume import Partial
from speechemb.paths import PROCESSED, ROOT, shown

Item, Result = TypeVar("Item"), TypeVar("Result")


class EmbeddingModel(Protocol):
    """What `encoders.Encoder` and `acoustic.Acoustic` have in common."""

    n_layers: int
    dim: int
    precision: str
    identity: dict[str, Any]
    workers: int  # batches to compute at once
    batch_seconds: int  # audio in a batch, unless the user says otherwise
    settled: bool  # False: the first `embed` settles the precision and has to be done before the others begin

    def embed(self, waveforms: list[np.ndarray], layers: list[int], methods: list[str]) -> np.ndarray:
        """(B, len(layers), dim * len(methods)) float32."""


def plan_batches(durations: np.ndarray, batch_seconds: float) -> list[np.ndarray]:
    """Clip indices (each int64) of every batch: longest first, so that a batch too large for the memory fails at once.

    A batch holds clips of neighbouring lengths, as many as fit into `batch_seconds` when padded to the longest, and at
    least one.
    """
    order = np.argsort(-durations, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, int(batch_seconds / max(durations[order[start]], 1e-3)))
        batches.append(order[start : start + size])
        start += size
    return batches


def chosen_layers(text: str, n_blocks: int) -> list[int]:
    """`all`, `last` or `0,6,12` as ascending layer numbers (0 = the transformer's input, n = its n-th block).

    Raises:
        InputError: not a number, or above the number of blocks.
    """
    if text == "all":
        return list(range(n_blocks + 1))
    words = [str(n_blocks)] if text == "last" else [word.strip() for word in text.split(",")]
    if any(not word.isdecimal() or int(word) > n_blocks for word in words):
        raise InputError(f"--layers {text}: give all, last, or numbers from 0 to {n_blocks} such as 0,{n_blocks}")
    return sorted({int(word) for word in words})


def waveforms_of(clips: pd.DataFrame) -> list[np.ndarray]:
    """The clips' waveforms, each checked against the hash that step 1 recorded; a copy's is changed as it is named."""
    waveforms = [
        decoding.load(ROOT / path, expected_sha256=digest)
        for path, digest in zip(clips["path"], clips["audio_sha256"], strict=True)
    ]
    return [
        augmentation.augmented(waveform, augmentation.seed_of(name)) if original else waveform
        for waveform, name, original in zip(waveforms, clips["clip_id"], clips["augmented_from"], strict=True)
    ]


def in_order(
    work: Callable[[Item], Result], items: list[Item], workers: int, first_alone: bool = False
) -> Iterator[Result]:
    """`work` of every item, in order, `workers` at once, each on a single thread of torch.

    A product on one core wastes none of it on waiting for the other cores' parts of the product, and comes out the
    same on any number of cores. With `first_alone` the others begin when the first item is done. Results that nobody
    has taken yet are bounded, so that memory does not grow where writing is slower than computing.
    """
    import torch

    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(work, items[:first_alone])
        ahead: deque = deque()
        for item in items[first_alone:]:
            ahead.append(pool.submit(work, item))
            if len(ahead) > 2 * workers:
                yield ahead.popleft().result()
        yield from (future.result() for future in ahead)


@dataclass
class ExtractionRun:
    """One extraction: a model, what to take from it, and where the clips came from."""

    model: EmbeddingModel
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


def columns_of(clips: pd.DataFrame, left_out: pd.DataFrame, layers: list[int]) -> dict[str, np.ndarray]:
    """The npz's arrays beside the embeddings."""
    names = {
        **{"labels": "emotion", "clip_ids": "clip_id", "speakers": "speaker", "sessions": "session"},
        **{"sentences": "sentence", "corpora": "corpus", "genders": "gender", "audio_sha256": "audio_sha256"},
        "augmented_from": "augmented_from",
    }
    columns = {key: clips[name].to_numpy(dtype=np.str_) for key, name in names.items()}
    excluded = left_out[["clip_id", "reason"]].to_numpy(dtype=np.str_).reshape(-1, 2)
    return {**columns, "layers": np.array(layers, dtype=np.int64), "excluded": excluded}


def read_clips(csvs: list[Path], limit: int | None) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, str]]]:
    """The clips of step 1's files (all of data/processed where none is named), those left out, and the files' hashes.

    Raises:
        InputError: no file, or a clip that is in two of them.
    """
    if not csvs:
        csvs = [csv for csv in sorted(PROCESSED.glob("*.csv")) if not csv.stem.endswith("_excluded")]
    if not csvs:
        raise InputError(f"{shown(PROCESSED)} holds no CSV: run {storage.STEP1} first, or name one with --metadata")
    frames = [storage.read_metadata(csv) for csv in csvs]
    inputs = [{"path": shown(csv), "sha256": stamp["sha256"]} for csv, (_, stamp) in zip(csvs, frames, strict=True)]
    clips = pd.concat([frame for frame, _ in frames], ignore_index=True)
    if (double := clips["clip_id"].duplicated()).any():
        raise InputError(f"--metadata: clip {first(clips.clip_id[double])} is in more than one of the files")
    drawn = np.arange(len(clips))
    if limit is not None and limit < len(clips):
        # A random draw, not the first ones: those would be one speaker or one emotion.
        drawn = np.sort(np.random.default_rng(0).permutation(len(clips))[:limit])
    left_out = clips.drop(index=drawn).assign(reason=f"not drawn by --limit {limit}")
    return clips.iloc[drawn].reset_index(drop=True), left_out, inputs
