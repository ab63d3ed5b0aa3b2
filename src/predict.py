"""Predict the emotion of recordings with a model of step 3.

Reads   models/<run>/ and audio files, or folders of them
Writes  a CSV with one row per file: path, emotion, one probability per class (to the terminal without --out)

A model trained with --normalise speaker is transductive, uses the test speaker's unlabelled clips: all recordings are
of one speaker, and --enrol gives further recordings of that speaker.

Encoder, layers and pooling are those the model was trained with; an encoder that has changed since is an error.

Example: python src/predict.py --model models/wavlm_base-ravdess-8emo-mean-svm-speaker5 my_recordings/
Ends with: 12 files, 1 excluded; with exit code 1 where none could be predicted
"""

import argparse
import sys
from pathlib import Path

from speechemb import cli, paths
from speechemb.errors import InputError, first

AT_ONCE = 16  # files embedded together


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("audio", nargs="+", type=Path, help="audio files, or folders to search for them")
    parser.add_argument("--model", required=True, type=Path, help="a folder of models/")
    parser.add_argument(
        "--encoder",
        action="append",
        default=[],
        help="tag, hub id or folder of the encoder (default: as in training); once for each encoder of a fused model",
    )
    parser.add_argument(
        "--enrol",
        nargs="+",
        default=[],
        type=Path,
        metavar="AUDIO",
        help="for models trained with --normalise speaker: further recordings of the one speaker of all recordings, "
        "files or folders, of any emotions; give them after the recordings",
    )
    parser.add_argument("--out", type=Path, help="CSV to write (default: the terminal)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    import pandas as pd

    from speechemb import inference
    from speechemb.artifacts import storage
    from speechemb.classifiers import persistence

    files = audio_files([paths.existing(path) for path in args.audio])
    classifier, meta = persistence.load(paths.existing(args.model))
    inference.check_enrolment(meta, bool(args.enrol))
    found = inference.load_encoders(meta, args.encoder)
    speaker = enrolled(audio_files([paths.existing(path) for path in args.enrol]), found, meta) if args.enrol else None
    rows, refused = [], []
    for start in range(0, len(files), AT_ONCE):
        waveforms, bad = inference.usable(files[start : start + AT_ONCE])
        refused += bad
        rows += inference.predict(classifier, found, meta, waveforms, speaker)
    if not rows:
        reasons = first([f"{path} ({reason})" for path, reason in refused])
        raise InputError(f"none of the {len(files)} files could be predicted: {reasons}")
    table = pd.DataFrame(rows, columns=["path", "emotion", *(f"p_{label}" for label in meta["labels"])]).round(6)
    text = table.to_csv(index=False, lineterminator="\n")
    if args.out:
        storage.write_text(paths.output(args.out), text)
    else:
        print(text, end="")
    for path, reason in refused:
        cli.log.warning("%s excluded: %s", path, reason)
    cli.log.info("%d files, %d excluded", len(files), len(refused))


def enrolled(files: list[Path], found: list, meta: dict) -> tuple:
    """The statistics of the speaker's enrolment recordings; says which of them cannot be used."""
    import numpy as np

    from speechemb import inference

    features = []
    for start in range(0, len(files), AT_ONCE):
        waveforms, bad = inference.usable(files[start : start + AT_ONCE])
        for path, reason in bad:
            cli.log.warning("--enrol: %s excluded: %s", path, reason)
        if waveforms:
            features.append(inference.features_of(found, meta, waveforms))
    speaker = inference.speaker_of(np.concatenate(features) if features else np.empty((0, 1)))
    cli.log.info("%s: %d enrolment recordings", inference.normalised_words(meta), sum(map(len, features)))
    return speaker


def audio_files(given: list[Path]) -> list[Path]:
    """The files given and the audio files in the folders given, in a fixed order; says what it passes over."""
    from collections import Counter

    from speechemb.audio import files

    found, others = [], Counter()
    for path in given:
        if not path.exists():
            raise InputError(f"{files.printable(paths.shown(path))} does not exist")
        within, more = files.search(path) if path.is_dir() else ([path], Counter())
        found, others = found + within, others + more
    if others:
        cli.log.info("%s", files.passed_over(others))
    if not found:
        where = ", ".join(files.printable(paths.shown(path)) for path in given)
        raise InputError(
            f"no audio file that can be read in {where}: give files of {', '.join(files.SUFFIXES[:8])}, ..."
        )
    return found


if __name__ == "__main__":
    sys.exit(cli.run(main))
