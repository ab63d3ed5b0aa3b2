"""The clips of an npz after a change of `audio.changes`, as an npz of their own, made and kept like any other.

It lies beside the clean one, in `<its name>_changed/<change>.npz`, and is of the same encoder, layers, pooling and
precision. Its rows name the clip that they are of in `augmented_from`, so that step 3 does not train on them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from speechemb import encoders
from speechemb.artifacts import atomic, freshness
from speechemb.artifacts.embeddings import EmbeddingsStamp
from speechemb.artifacts.freshness import check_upstream, command_for
from speechemb.artifacts.npz import load
from speechemb.artifacts.storage import check_stamp
from speechemb.audio import changes
from speechemb.encoders.batching import plan_batches
from speechemb.extraction.clips import read_clips, waveforms_of
from speechemb.extraction.run import ExtractionRun, Plan
from speechemb.paths import ROOT, STEP2
from speechemb.speakers import within_corpus


@dataclass
class ChangedRun(ExtractionRun):
    """The extraction of changed clips."""

    change: str = ""
    drawn: int | None = None  # of the clips, with a fixed seed; None: all of them

    @property
    def content(self) -> dict[str, Any]:
        """What determines the content of the file."""
        return {**super().content, **changes.settings(self.change), "drawn": self.drawn}

    def changed_plan(self, clips: pd.DataFrame, batch_seconds: float) -> Plan:
        """The changed clips; their waveforms are made when a batch is computed."""
        self.read = Changer(self.change, clips)
        if self.drawn is not None:
            clips = clips.iloc[np.sort(np.random.default_rng(0).permutation(len(clips))[: self.drawn])]
        change = changes.CHANGES[self.change]
        rows = clips.assign(
            clip_id=[changes.copy_id(name, self.change) for name in clips["clip_id"]],
            duration_s=clips["duration_s"] / change.speed + change.added_s,
            augmented_from=clips["clip_id"],
        ).reset_index(drop=True)
        return Plan(rows, plan_batches(rows["duration_s"].to_numpy(), batch_seconds), batch_seconds)


class Changer:
    """Waveforms of changed clips. `clips`: all originals, among which are the talkers of a babble."""

    def __init__(self, change: str, clips: pd.DataFrame) -> None:
        self.change, self.clips = change, clips.assign(augmented_from="")
        columns = (clips[name].to_numpy(np.str_) for name in ("corpus", "speaker"))
        self.speakers = within_corpus(*columns)
        self.place = {name: i for i, name in enumerate(clips["clip_id"])}

    def __call__(self, batch: pd.DataFrame) -> list[np.ndarray]:
        """The changed waveforms of the rows of a plan."""
        places = [self.place[name] for name in batch["augmented_from"]]
        return [
            changes.changed(self.change, np.asarray(clean), self.clips["clip_id"].iloc[place], list(self.others(place)))
            for clean, place in zip(waveforms_of(self.clips.iloc[places]), places, strict=True)
        ]

    def others(self, place: int) -> Iterator[np.ndarray]:
        """The waveforms that are the babble behind a clip: of other speakers, where its speaker is known."""
        if not changes.CHANGES[self.change].talkers:
            return
        own = self.speakers[place]
        elsewhere = (self.speakers != own) if own else np.ones(len(self.speakers), bool)
        elsewhere[place] = False
        candidates = np.flatnonzero(elsewhere).tolist() or [place]
        for other in changes.talkers_of(self.change, self.clips["clip_id"].iloc[place], candidates):
            yield self._waveform(other)

    def _waveform(self, place: int) -> np.ndarray:
        return np.asarray(waveforms_of(self.clips.iloc[[place]])[0])


@dataclass
class Source:
    """A clean npz: its clips, its `meta`, and the encoder that made it, loaded anew."""

    path: Path
    meta: dict[str, Any]
    clips: pd.DataFrame
    excluded: pd.DataFrame
    model: encoders.Encoder

    @classmethod
    def of(cls, path: Path, device: str) -> "Source":
        """Read what the npz was made from, and load its encoder.

        Raises:
            InputError: the clips, their metadata or the encoder are gone or have changed.
        """
        remedy = f"rerun {command_for(path, STEP2)}"
        meta = load(path, [], remedy)[1]
        check_stamp(path, meta, "embeddings", remedy, EmbeddingsStamp)
        check_upstream(path, STEP2)
        csvs = [ROOT / item["path"] for item in meta["inputs"]]
        clips, excluded, _ = read_clips(csvs, meta.get("limit"))
        model = encoders.load_recorded(meta["encoder"], meta["encoder_source"], meta["precision"], device)
        return cls(path, meta, clips, excluded, model)

    def out(self, change: str) -> Path:
        """Where the changed clips are."""
        return self.path.with_name(f"{self.path.stem}_changed") / f"{change}.npz"

    def run(self, change: str, drawn: int | None, command: str) -> ChangedRun:
        """The extraction of a change."""
        meta, limit = self.meta, self.meta.get("limit")
        kept = (meta["layers"], meta["pooling"], meta["precision"], meta["inputs"], limit, command)
        place = (self.model, meta["encoder"]["tag"], meta["encoder_source"])
        return ChangedRun(*place, *kept, change=change, drawn=drawn)

    def extract(self, change: str, drawn: int | None, command: str, overwrite: bool) -> Path:
        """Make the npz of a change, unless it is up to date; its path.

        Raises:
            ArtifactError: there is one that is not up to date, and `overwrite` is not given.
        """
        out, run = self.out(change), self.run(change, drawn, command)
        if freshness.is_up_to_date(out, run.stamp()) and not overwrite:
            return out
        if not overwrite:
            freshness.check_absent(out, run.stamp())
        atomic.check_writable(out.parent)
        plan = run.changed_plan(self.clips, self.model.batch_seconds)
        nothing = self.excluded.iloc[:0].assign(reason="")
        with atomic.alone(out):
            run.extract(plan, nothing, out, overwrite)
        return out
