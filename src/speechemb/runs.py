"""One run of step 3: its name in file names, and what its files record about it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechemb import embeddings, metrics, provenance
from speechemb.artifacts import SCHEMA
from speechemb.splits import Fold
from speechemb.training import PROTOCOL_NOTES, Task, speaker_genders, speakers_on_both_sides


@dataclass
class Run:
    """Data, classifier and protocol of one run."""

    data: embeddings.Embeddings
    task: Task
    classifier: str
    protocol: str
    layer: str
    n_folds: int
    seed: int
    npz: list[Path]

    @property
    def corpora(self) -> list[str]:
        """The corpora the clips come from, sorted."""
        return np.unique(self.data.corpora).tolist()

    @property
    def tag(self) -> str:
        """`<encoder>[-<pooling>]-<corpora>-<K>emo-<layer>-<classifier>-<protocol><folds>[-seed<N>]`."""
        layer = f"layer{self.layer}" if self.layer.isdecimal() else self.layer
        protocol = "cross" if self.protocol == "cross-corpus" else f"{self.protocol}{self.n_folds}"
        parts = [self.data.tag, "+".join(self.corpora), f"{len(self.task.labels)}emo", layer, self.classifier, protocol]
        return "-".join(parts) + (f"-seed{self.seed}" if self.seed else "")

    def stamp(self, folds: list[Fold], left_out: int) -> dict[str, Any]:
        """The provenance of the run's files, with the settings that step 4's tables show."""
        inputs = embeddings.sources(self.npz)
        settings = {
            "embeddings": [item["fingerprint"] for item in inputs],
            "classifier": self.classifier,
            "layer": self.layer,
            "protocol": self.protocol,
            "n_folds": self.n_folds,
            "seed": self.seed,
        }
        meta = self.data.meta
        return {
            **provenance.stamp("predictions", SCHEMA, **settings),
            "inputs": inputs,
            "tag": self.tag,
            "encoder": meta["encoder"],
            "encoder_source": meta["encoder_source"],
            "pooling": meta["pooling"],
            "precision": meta["precision"],
            "layers": meta["layers"],
            "features": self.task.x.shape[1],
            "labels": self.task.labels,
            "corpora": self.corpora,
            "protocol_note": PROTOCOL_NOTES[self.protocol],
            "groups": len(np.unique(self.task.group)),
            "speakers_on_both_sides": speakers_on_both_sides(self.data, folds),
            "left_out": left_out,
            "genders": speaker_genders(self.data),
        }

    def model_stamp(self, stamp: dict[str, Any], log: list[dict[str, Any]]) -> dict[str, Any]:
        """`model.json`: the run's stamp, and what cross-validation says of a model with these settings."""
        figures = {"protocol": stamp["protocol_note"], "n_folds": self.n_folds, "uar": [row["uar"] for row in log]}
        return {**stamp, "kind": "model", "cross_validation": figures, "clips": len(self.task.y)}


def headline(log: list[dict[str, Any]], labels: list[str]) -> str:
    """`UAR 0.512 ± 0.031 (chance 0.125)` over the folds."""
    uar = np.array([row["uar"] for row in log])
    return f"UAR {uar.mean():.3f} ± {uar.std(ddof=1):.3f} over folds (chance {metrics.chance_uar(labels):.3f})"
