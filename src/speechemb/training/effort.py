"""What the fits of a large run will take: how many fit into the memory side by side, and a warning of long ones.

The rates were measured with 8,192 features on one core of an AMD EPYC (AVX2), see `benchmarks/scale.py --train`. They
are meant to tell minutes from days, not to predict a run.
"""

import os

import numpy as np

from speechemb.artifacts import embeddings

# Bytes that a fit holds, for each number of its training part: a standardised copy and those of pairs of classes; bins.
_HELD = {"svm": 8, "xgboost": 3}
# Seconds of one core for each number (clips x features) of the training part; of the SVM, for each clip as well.
_SECONDS = {"svm": 1.6e-10, "logistic": 2.0e-6, "mlp": 1.6e-6, "xgboost": 1.5e-6}
LONG = 3600  # seconds from which a run is announced
# What is advised in place of a long run, from the dearest to the cheapest.
_CHEAPER = {"svm": "--classifier mlp", "superb": "", "logistic": "--layer mean", "mlp": "--layer mean"}


def fits_at_once(name: str, x: np.ndarray) -> int:
    """How many fits run side by side: one per core, but of a large matrix no more than half of the memory can hold."""
    from joblib import cpu_count

    need = _HELD.get(name, 0) * x.size
    if x.nbytes < embeddings.LARGE or not need or not hasattr(os, "sysconf"):
        return cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cpu_count(), memory // 2 // need))


def seconds(name: str, training_clips: list[int], features: int, side_by_side: int) -> float:
    """A rough time of fits on so many training clips each, of the untuned classifier; 0 where no rate is known."""
    rate = _SECONDS.get(name, 0.0)
    powers = [clips ** (2 if name == "svm" else 1) for clips in training_clips]
    rounds = -(-len(powers) // side_by_side)
    return rate * features * max(powers, default=0) * rounds


def warning(name: str, training_clips: list[int], features: int, side_by_side: int) -> str:
    """A line about a run that will take long, with the flag that makes it shorter; empty for other runs."""
    expected = seconds(name, training_clips, features, side_by_side)
    if expected < LONG:
        return ""
    hours = expected / 3600
    about = f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:.0f} days"
    why = ": its kernel grows with the square of the clips" if name == "svm" else ""
    cheaper = _CHEAPER.get(name, "--classifier logistic")
    return (
        f"{name}: {len(training_clips)} fits on up to {max(training_clips)} clips x {features} features will take "
        f"about {about} here{why}; " + (f"{cheaper} is cheaper" if cheaper else "")
    )
