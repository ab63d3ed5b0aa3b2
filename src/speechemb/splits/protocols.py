"""From embeddings and a protocol to folds: repeats, augmented copies, cross-corpus runs and deliberate leakage."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from speechemb.artifacts.embeddings import Embeddings
from speechemb.artifacts.predictions import EMOTION
from speechemb.errors import InputError
from speechemb.labels import merge_excited, ordered
from speechemb.paths import shown
from speechemb.speakers import guessed, within_corpus
from speechemb.splits import CROSS_CORPUS, GUESSED, LEAKS, NORMALISED, NOTES, OPTIMISTIC_GUESS, is_guessed
from speechemb.splits.folds import Fold, add_copies, repeated
from speechemb.splits.groups import clip_groups, voices
from speechemb.splits.published import Published


@dataclass(frozen=True)
class Protocol:
    """How clips are divided. `cv` is one of `NOTES`, `guessed<N>` or the name of `published` folds,
    `leak` empty or one of `LEAKS`, `normalise` empty or one of `NORMALISED`.

    Raises:
        InputError: settings that do not go together.
    """

    cv: str
    n_folds: int = 5
    seed: int = 0
    repeats: int = 1
    leak: str = ""
    published: Published | None = None
    normalise: Literal["", "speaker"] = ""

    def __post_init__(self) -> None:
        if self.cv == CROSS_CORPUS and (self.repeats > 1 or self.leak):
            raise InputError("--cross-corpus has no folds to repeat or to leak between: drop --repeats and --leak")
        if self.published and (self.repeats > 1 or self.leak == "copies"):
            raise InputError("--folds gives the folds: drop --repeats and --leak copies")
        if self.leak == "copies" and self.cv != "random":
            raise InputError("--leak copies divides at random: give --cv random with it")
        if self.leak and self.normalise:
            raise InputError("--leak measures ordinary runs, and --normalise is another task: drop one of them")

    @property
    def note(self) -> str:
        """The protocol for people: its folds, repeats, normalisation and deliberate leakage."""
        again = f", {self.repeats} repeats with different seeds" if self.repeats > 1 else ""
        if is_guessed(self.cv):
            folds = f"folds over {self.cv.removeprefix(GUESSED)} {OPTIMISTIC_GUESS}"
        else:
            folds = f"folds of {self.published.path.name}" if self.published else NOTES[self.cv]
        return "; ".join(filter(None, [folds + again, NORMALISED.get(self.normalise), LEAKS.get(self.leak)]))

    def tag(self, n_folds: int) -> str:
        """For file names: `speaker5`, `speaker5-repeats3`, `random5-LEAK_copies`, `cross`, `folds_emobox_1a2b3c4d`.

        With normalisation `speaker5-transductive_speaker`; over guessed speakers `guessed24-folds5`.
        """
        plain = {CROSS_CORPUS: "cross"} | ({self.cv: self.cv} if self.published else {})
        plain |= {self.cv: f"{self.cv}-folds{n_folds}"} if is_guessed(self.cv) else {}
        parts = [plain.get(self.cv, f"{self.cv}{n_folds}")]
        if self.repeats > 1:
            parts.append(f"repeats{self.repeats}")
        if self.normalise:
            parts.append(f"transductive_{self.normalise}")
        if self.leak:
            parts.append(f"LEAK_{self.leak}")
        return "-".join(parts)


def by_corpora(data: Embeddings, asked: list[str], together: bool) -> list[Embeddings]:
    """The clips of each run: of every word of `asked`, such as `ravdess` or `iemocap+cremad` (both as one).

    `all` is every corpus as one. With no words, every corpus is a run of its own, or with `together` all are one run.

    Raises:
        InputError: there are no clips of a corpus that was asked for.
    """
    names = np.unique(data.corpora).tolist()
    runs = []
    for word in asked or (["all"] if together else names):
        wanted = names if word == "all" else word.split("+")
        if unknown := [name for name in wanted if name not in names]:
            raise InputError(
                f"--corpora {word}: --npz-path holds {', '.join(names)}, not {unknown[0] or 'a nameless one'}"
            )
        runs.append(data if set(wanted) == set(names) else data.take(np.isin(data.corpora, wanted)))
    return runs


@dataclass
class Plan:
    """The clips of a run, their groups (n,) int64, its folds, and how many clips of other classes were excluded.

    `note`: the protocol for people.
    """

    data: Embeddings
    group: np.ndarray
    folds: list[Fold]
    note: str
    left_out: int = 0
    target: str = EMOTION  # see `targets`

    @property
    def dropped(self) -> list[dict[str, str]]:
        """Clip id, corpus and reason of the clips of these corpora that the npz hold and the run cannot use."""
        corpora = set(self.data.corpora.tolist())
        return [row for row in self.data.dropped if row["corpus"] in corpora]


def of_emotions(data: Embeddings, wanted: list[str]) -> Embeddings:
    """The clips of these classes, as step 1 keeps them: excited counts as happy unless it is a class of its own.

    Raises:
        InputError: a class has no clips.
    """
    labels = np.array([merge_excited(label, wanted) for label in data.labels.tolist()], dtype=str)
    if missing := [label for label in wanted if label not in labels]:
        names = "+".join(np.unique(data.corpora))
        raise InputError(f"--emotions {missing[0]}: {names} in --npz-path has {', '.join(ordered(data.labels))}")
    return replace(data, labels=labels).take(np.isin(labels, wanted))


def plan(data: Embeddings, protocol: Protocol, emotions: list[str] | None = None) -> Plan:
    """Make the folds over the originals; copies are trained on wherever their original is, and are never tested on.

    Args:
        emotions: the classes to keep; None keeps all.

    Raises:
        InputError: the clips do not allow this protocol, or a class has none.
    """
    if emotions is not None:
        kept = of_emotions(data, emotions)
        found = plan(kept, protocol)
        return replace(found, left_out=found.left_out + len(data.labels) - len(kept.labels))
    if protocol.cv == CROSS_CORPUS:
        return cross_corpus(data, protocol.note)
    if protocol.published:
        return published(data, protocol.published, protocol.note)
    origin = data.origin()
    if protocol.leak == "copies":
        if (origin == np.arange(len(origin))).all():
            raise InputError("--leak copies: --npz-path holds no augmented copy: make some with --augment in step 2")
        origin = np.arange(len(origin))
        data = data.take(origin)
        data.audio_sha256 = data.clip_ids  # every copy counts as audio of its own
    originals = np.flatnonzero(origin == np.arange(len(origin)))
    labels, group = data.labels[originals], groups_of(data, protocol.cv, originals)
    folds = repeated(labels, group, protocol.n_folds, protocol.cv, protocol.seed, protocol.repeats)
    # With two columns of groups, splits inside a training part use the first: speakers.
    inner = group[:, 0] if group.ndim == 2 else group
    return Plan(data, inner[np.searchsorted(originals, origin)], add_copies(folds, origin), protocol.note)


def groups_of(data: Embeddings, cv: str, clips: np.ndarray | slice = slice(None)) -> np.ndarray:
    """The groups of these clips, see `clip_groups`."""
    columns = (data.corpora, data.speakers, data.sessions, data.sentences, data.audio_sha256)
    return clip_groups(cv, *(column[clips] for column in columns))


def voices_of(data: Embeddings) -> np.ndarray:
    """The names (n,) of the groups that intervals resample and that cross-corpus runs keep whole, see `voices`."""
    originals = np.where(data.augmented_from == "", data.clip_ids, data.augmented_from)
    return voices(data.corpora, data.speakers, data.sessions, data.audio_sha256, originals)


def published(data: Embeddings, table: Published, note: str) -> Plan:
    """The folds of a table. Splits inside a training part are speaker-independent as far as speakers are known.

    The note says whether speakers are in both training and test, and how many clips are never tested.

    Raises:
        InputError: as `Published.folds`, or a training part lacks a class.
    """
    origin = data.origin()
    originals = np.flatnonzero(origin == np.arange(len(origin)))
    values = {"speaker": data.speakers, "session": data.sessions}.get(table.key, data.clip_ids)
    columns = (data.clip_ids, data.corpora, values, data.audio_sha256)
    folds = table.folds(*(column[originals] for column in columns))
    for fold in folds:
        if lacking := sorted(set(data.labels[originals]) - set(data.labels[originals][fold.train])):
            raise InputError(f"--folds {shown(table.path)}: fold {fold.name} has no {lacking[0]} to train on")
    folds = add_copies(folds, origin)
    both, untested = speakers_on_both_sides(data, folds), len(originals) - sum(len(fold.test) for fold in folds)
    words = "no speaker" if both == 0 else f"{both} speakers" if both else "speakers, as far as is known,"
    words = f"{note}: {words} in both training and test" + ("" if both == 0 else ": optimistic")
    words += f"; {untested} clips are never tested" if untested else ""
    return Plan(data, np.unique(voices_of(data), return_inverse=True)[1], folds, words)


def cross_corpus(data: Embeddings, note: str) -> Plan:
    """Train on each corpus and test on every other, with the classes that all share.

    A fold has the name of its training corpus. Augmented copies are not tested on, nor is audio that the training
    corpus also holds. Splits inside a training part are speaker-independent as far as speakers are known.

    Raises:
        InputError: fewer than two corpora, or fewer than two classes in common.
    """
    names = np.unique(data.corpora).tolist()
    if len(names) < 2:
        raise InputError(f"--cross-corpus needs two corpora, but --npz-path holds {names[0]} only: give more files")
    shared = set.intersection(*(set(data.labels[data.corpora == name]) for name in names))
    if len(shared) < 2:
        raise InputError(f"--cross-corpus: {', '.join(names)} have {sorted(shared) or 'no class'} in common, not two")
    kept = data.take(np.isin(data.labels, sorted(shared)))
    kept.origin()  # refuses a copy without its original
    folds = []
    for name in names:
        inside = kept.corpora == name
        elsewhere = ~inside & ~np.isin(kept.audio_sha256, kept.audio_sha256[inside])
        tested = np.flatnonzero(elsewhere & (kept.augmented_from == ""))
        if not len(tested):
            raise InputError(f"--cross-corpus: nothing to test on: all audio of the other corpora is in {name} as well")
        folds.append(Fold(name, np.flatnonzero(inside), tested, by_corpus=True))
    group = np.unique(voices_of(kept), return_inverse=True)[1]
    return Plan(kept, group, folds, note, len(data.labels) - len(kept.labels))


def speakers_on_both_sides(data: Embeddings, folds: list[Fold]) -> int | None:
    """The number of speakers in both training and test of some fold; None where a speaker is unknown or guessed."""
    speakers = within_corpus(data.corpora, data.speakers)
    if (speakers == "").any() or guessed(speakers).all():
        return None
    both: set[str] = set()
    for fold in folds:
        both |= set(speakers[fold.train]) & set(speakers[fold.test])
    return len(both)
