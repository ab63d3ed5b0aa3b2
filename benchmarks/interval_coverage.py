"""Does a 95 % interval hold the true value in 95 % of the cases, and does a 5 % test give 5 % false alarms?

Speakers are drawn thousands of times from a population whose true UAR and F1 are known, and each sample gets an
interval and a p-value from `speechemb.metrics`. Beside them stand two usual methods that fail: the percentile bootstrap
over speakers, and the bootstrap over clips, which treats the clips of one speaker as independent.

Reads:   nothing
Writes:  benchmarks/results/coverage.json (--out)
Example: python benchmarks/interval_coverage.py --runs 4000
Prints:  one line per setting, at the end `all settings within 93-97 % coverage and 3-7 % false alarms`, or the
         settings that are not, and exits with 1

The population. A speaker's predictions follow a confusion matrix of their own: the population's on the logit scale,
plus three normal effects: how well the speaker is recognised, how well each of their emotions is recognised, and
towards which classes their voice leans. With the standard deviations 0.3, 0.5 and 0.9, UAR varies by 0.09 from speaker
to speaker and the recall of one class by 0.27 (24 speakers, 8 classes); an SVM on MFCCs gives 0.09 and 0.28 on RAVDESS.
"even" is the design of CREMA-D and RAVDESS: 14 clips of each of 4 classes, or 8 of each of 8. In "uneven" the rarest
class has a third of the clips of the most frequent one, and the numbers of clips vary between speakers (coefficient of
variation 0.5) and between the classes of one speaker (0.7); in IEMOCAP they vary by 0.1 and 0.3 to 0.4. "easy" has a
UAR near 0.8 instead of 0.4 to 0.5.
"""

import argparse
import json
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechemb.metrics.classification import STATISTICS
from speechemb.metrics.intervals import speaker_interval
from speechemb.metrics.paired_tests import sign_flip_test, speaker_differences

ROOT = Path(__file__).resolve().parents[1]

COVERAGE, FALSE_ALARMS = (0.93, 0.97), (0.03, 0.07)
SKILL, CLASS_SKILL, LEANING = 0.3, 0.5, 0.9
MEASURED = ("uar", "macro_f1")
PERMUTATIONS = 2000  # of more than 32 speakers; of fewer, all are counted
USUAL_RUNS, USUAL_RESAMPLES = 300, 500  # enough to see that the usual methods fail
LIMITS = "93-97 % coverage and 3-7 % false alarms"


class Setting(NamedTuple):
    """One line of the table."""

    speakers: int
    classes: int
    even: bool
    easy: bool = False

    def __str__(self) -> str:
        words = f"{self.speakers:3d} speakers, {self.classes} classes, {'even' if self.even else 'uneven'}"
        return f"{words}, easy" if self.easy else words


SETTINGS = [
    Setting(speakers, classes, even, easy)
    for classes, easy in ((4, False), (8, False), (4, True))
    for even in (True, False)
    for speakers in (8, 10, 24, 91)
]


@lru_cache
def population(classes: int, easy: bool) -> np.ndarray:
    """Log-probability of each predicted class (column) given the true one (row) for the average speaker, `(K, K)`."""
    rng = np.random.default_rng(classes)
    recall = np.linspace(0.75, 0.95, classes) if easy else np.linspace(0.35, 0.65, classes)
    matrix = np.diag(recall)
    for k in range(classes):
        matrix[k, np.arange(classes) != k] = (1 - recall[k]) * rng.dirichlet(np.full(classes - 1, 2.0))
    return np.log(matrix)


def effects(rng: np.random.Generator, shape: tuple[int, ...], classes: int) -> np.ndarray:
    """What a speaker adds to the log-probabilities, `(*shape, K, K)`."""
    own = SKILL * rng.standard_normal((*shape, 1, 1)) + CLASS_SKILL * rng.standard_normal((*shape, classes, 1))
    return own * np.eye(classes) + LEANING * rng.standard_normal((*shape, 1, classes))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of the predicted classes; rows sum to 1."""
    p = np.exp(logits)
    return p / p.sum(-1, keepdims=True)


def class_shares(setting: Setting) -> np.ndarray:
    """Expected clips of each class of a speaker, `(K,)`."""
    clips = 14 if setting.classes == 4 else 8
    shares = np.ones(setting.classes) if setting.even else np.geomspace(1, 1 / 3, setting.classes)
    return clips * shares / shares.mean()


def clip_counts(rng: np.random.Generator, setting: Setting, runs: int) -> np.ndarray:
    """Clips of each speaker and class, int `(runs, S, K)`."""
    shape = (runs, setting.speakers)
    mean = np.broadcast_to(class_shares(setting), (*shape, setting.classes))
    if setting.even:
        return mean.astype(np.int64)
    return rng.poisson(mean * rng.lognormal(0, 0.4, (*shape, 1)) * rng.gamma(4, 1 / 4, mean.shape))


@lru_cache
def truth(setting: Setting) -> dict[str, float]:
    """The population's value of each statistic, from the mean of 400,000 speakers."""
    rng = np.random.default_rng(0)
    logits = population(setting.classes, setting.easy)
    mean = sum(softmax(logits + effects(rng, (20_000,), len(logits))).mean(0) for _ in range(20)) / 20
    matrix = mean * class_shares(setting)[:, None]
    return {name: float(STATISTICS[name](matrix)) for name in MEASURED}


def draw(rng: np.random.Generator, setting: Setting, runs: int) -> np.ndarray:
    """Confusion matrices of `runs` samples of speakers, `(runs, S, K, K)`."""
    logits = population(setting.classes, setting.easy)
    p = softmax(logits + effects(rng, (runs, setting.speakers), len(logits)))
    return rng.multinomial(clip_counts(rng, setting, runs), p)


def draw_pair(rng: np.random.Generator, setting: Setting, runs: int, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two systems of equal true UAR on the same clips, twice `(runs, S, K, K)`.

    Half of the variance of a speaker's effects is common to both. With `mirrored`, B has A's confusions with the
    classes in reverse order: what is easy for A is hard for B, and only the mean recall is the same.
    """
    logits = population(setting.classes, setting.easy)
    shape, classes = (runs, setting.speakers), setting.classes
    common, counts = effects(rng, shape, classes), clip_counts(rng, setting, runs)
    a, b = (
        rng.multinomial(counts, softmax(z + np.sqrt(0.5) * (common + effects(rng, shape, classes))))
        for z in (logits, logits[::-1, ::-1] if mirrored else logits)
    )
    return a, b


def clips_interval(statistic, confusions: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """A wrong method: percentiles of a bootstrap that draws single clips."""
    total = confusions.sum(0)
    cells = np.random.default_rng(seed).multinomial(total.sum(), total.ravel() / total.sum(), USUAL_RESAMPLES)
    return tuple(np.quantile(statistic(cells.reshape(-1, *total.shape)), [0.025, 0.975]))


def percentile_interval(statistic, confusions: np.ndarray) -> tuple[float, float]:
    """The usual method: percentiles of a bootstrap that draws speakers."""
    totals = _times_drawn(len(confusions)) @ confusions.reshape(len(confusions), -1)
    return tuple(np.quantile(statistic(totals.reshape(-1, *confusions.shape[1:])), [0.025, 0.975]))


@lru_cache
def _times_drawn(speakers: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.multinomial(speakers, np.full(speakers, 1 / speakers), USUAL_RESAMPLES).astype(float)


def our_interval(statistic, confusions: np.ndarray) -> tuple[float, float]:
    """The interval that the project reports."""
    return speaker_interval(statistic, confusions)


def coverage(interval, name: str, setting: Setting, confusions: np.ndarray) -> float:
    """Share of the samples whose interval holds the truth."""
    value, statistic = truth(setting)[name], STATISTICS[name]
    bounds = np.array([interval(statistic, sample) for sample in confusions])
    return float(np.mean((bounds[:, 0] <= value) & (value <= bounds[:, 1])))


def false_alarms(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the pairs of equal systems whose UARs differ significantly at 5 % in the paired test."""
    return float(np.mean(test(a, b) <= 0.05))


def test(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """p of the paired test of each of the pairs, `(runs,)`."""
    differences = np.array([speaker_differences(*pair) for pair in zip(a, b, strict=True)])
    return sign_flip_test(differences, PERMUTATIONS)


def measure(setting: Setting, runs: int, seed: int) -> dict:
    """One row of the table: the setting, its true UAR, coverages and false alarms."""
    rng = np.random.default_rng([seed, *map(int, setting)])
    sample = draw(rng, setting, runs)
    few = sample[:USUAL_RUNS]
    return {
        **setting._asdict(),
        "truth": truth(setting),
        "coverage": {name: coverage(our_interval, name, setting, sample) for name in MEASURED},
        "coverage_percentile_uar": coverage(percentile_interval, "uar", setting, few),
        "coverage_clips_uar": coverage(clips_interval, "uar", setting, few),
        "false_alarms": {
            "same_confusions": false_alarms(*draw_pair(rng, setting, runs, mirrored=False)),
            "mirrored_confusions": false_alarms(*draw_pair(rng, setting, runs, mirrored=True)),
        },
    }


def holds(row: dict) -> bool:
    """Whether the intervals and the test of one row are as good as they claim."""
    return all(COVERAGE[0] <= share <= COVERAGE[1] for share in row["coverage"].values()) and all(
        FALSE_ALARMS[0] <= share <= FALSE_ALARMS[1] for share in row["false_alarms"].values()
    )


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4000, help="samples per setting (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    out = ROOT / "benchmarks" / "results" / "coverage.json"
    parser.add_argument("--out", type=Path, default=out, help="JSON file to write")
    return parser.parse_args(argv)


HEADER = """\
                                      | 95 % interval holds truth | usual methods    | 5 % test, equal runs
                                      |  UAR  macro F1  (truth)   | speakers   clips |  same   mirrored"""


def line(setting: Setting, row: dict) -> str:
    """The row as text, shares in percent."""
    ours, alarms = row["coverage"], row["false_alarms"]
    return (
        f"{setting!s:<37} | {100 * ours['uar']:5.1f}   {100 * ours['macro_f1']:5.1f}"
        f"  ({row['truth']['uar']:.2f}, {row['truth']['macro_f1']:.2f}) "
        f"|   {100 * row['coverage_percentile_uar']:5.1f}   {100 * row['coverage_clips_uar']:5.1f} "
        f"|   {100 * alarms['same_confusions']:3.1f}     {100 * alarms['mirrored_confusions']:3.1f}"
        f"{'' if holds(row) else '  <- outside'}"
    )


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    started, rows = time.perf_counter(), []
    print(f"{args.runs} samples per setting, shares in percent\n{HEADER}")
    for setting in SETTINGS:
        rows.append(measure(setting, args.runs, args.seed))
        print(line(setting, rows[-1]), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"runs": args.runs, "seed": args.seed, "permutations": PERMUTATIONS, "settings": rows}
    args.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{args.out} written in {time.perf_counter() - started:.0f} s")
    outside = [str(setting) for setting, row in zip(SETTINGS, rows, strict=True) if not holds(row)]
    print("outside: " + "; ".join(outside) if outside else f"all settings within {LIMITS}")
    return int(bool(outside))


if __name__ == "__main__":
    sys.exit(main())
