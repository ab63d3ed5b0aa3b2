"""Predict the emotion of recordings with a model of step 3.

Reads   models/<run>/ and audio files, folders of them, or patterns such as 'calls/**/*.wav'
Writes  a CSV or JSON with one row per recording, or with --segments one row per segment: path, emotion, one probability
        per class, how novel the recording is, a note (to the terminal without --out), and a .meta.json beside it. Of a
        model of --target arousal valence, the numbers in place of emotion and probabilities

Rows are written as they come, to <out>.partial; if a run is stopped, the same command resumes it. `novelty` is the
share of training clips of other speakers that were less unlike the training speech; above 0.99 the note says so.

A model trained with --normalise speaker is transductive, uses the test speaker's unlabelled clips: all recordings are
of one speaker, and --enrol gives further recordings of that speaker.

Encoder, layers, pooling and precision are those the model was trained with; an encoder that has changed since is an
error.

Example: python src/predict.py --model models/wavlm_base-ravdess-8emo-mean-svm-speaker5 my_recordings/
Ends with: 12 files, 1 excluded; with exit code 1 where none could be predicted
"""

import argparse
import sys
from pathlib import Path

from speechemb import cli, encoders, paths

SUFFIXES = (".csv", ".json", ".jsonl")  # of --out


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("audio", nargs="+", help="audio files, folders to search for them, or quoted patterns with * and **")
    add("--model", required=True, type=Path, help="a folder of models/")
    encoder = "tag, hub id or folder of the encoder (default: as in training); once for each encoder of a fused model"
    add("--encoder", action="append", default=[], help=encoder)
    enrol = "for models trained with --normalise speaker: further recordings of the one speaker of all recordings, "
    enrol += "files, folders or patterns, of any emotions; give them after the recordings"
    add("--enrol", nargs="+", default=[], metavar="AUDIO", help=enrol)
    add(
        "--out",
        type=Path,
        help="file to write, of the format that its suffix names: .csv, .json or .jsonl (default: CSV to the terminal)",
    )
    add("--overwrite", action="store_true", help="replace a file or an unfinished run that has other settings")
    add("--segments", type=cli.seconds, metavar="S", help="emotions over time: a row for every segment of S seconds")
    add("--hop", type=cli.seconds, metavar="H", help="a segment begins every H seconds (default: half of --segments)")
    plot = "with --segments and --out: a picture of each recording's emotions over time, <out>_<recording>.png"
    add("--plot", action="store_true", help=plot)
    confidence = "answer `unknown` where the highest probability is below P, or the recording is flagged as novel; "
    confidence += "says what cross-validation measured at P"
    add("--min-confidence", type=cli.fraction, metavar="P", help=confidence)
    batch = "seconds of audio per batch (default: as in step 2)"
    add("--batch-seconds", type=cli.positive, metavar="S", help=batch)
    add("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="device to compute on")
    precision = "precision to compute in; auto is that of the training features, another one is warned of"
    add("--precision", default="auto", choices=("auto", *encoders.PRECISIONS), help=precision)
    return cli.parsed(parser, argv, __file__)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    out = checked(args)
    from speechemb.artifacts import atomic
    from speechemb.audio import files as audio
    from speechemb.errors import InputError
    from speechemb.inference import model, results, run
    from speechemb.inference.work import Work

    files = audio.given(args.audio)
    ready = model.load(paths.existing(args.model), args.encoder, args.device, args.precision, bool(args.enrol))
    if ready.targets and (args.min_confidence or args.plot):
        flag = "--min-confidence" if args.min_confidence else "--plot"
        raise InputError(
            f"{flag}: {paths.shown(args.model)} predicts {', '.join(ready.targets)}, not emotions: drop it"
        )
    ready.at_least, ready.given_batch_seconds = args.min_confidence, args.batch_seconds
    measured = ready.measured() if args.min_confidence else {}
    enrolment = audio.given(args.enrol) if args.enrol else []
    if enrolment:
        ready.speaker = run.enrolled(ready, enrolment)
    columns = ready.columns(bool(args.segments))
    work = Work(files, args.segments, args.hop)
    if out is None:
        terminal = results.Terminal(columns)
        run.predict(ready, work, terminal)
        say(terminal, ready, len(files), measured)
        return
    atomic.check_writable(out.parent)
    file = results.File(out, columns, stamp_of(args, ready, run.digest(files), run.digest(enrolment)))
    with atomic.alone(out):
        if not args.overwrite and file.is_up_to_date():
            print(f"{paths.shown(out)} is up to date, skipped: made from the same recordings with the same settings")
            return
        run.predict(ready, work, file, args.overwrite)
        if file.written:
            file.finish(measured, args.plot)
        else:
            file.discard()
    say(file, ready, len(files), measured)


def checked(args: argparse.Namespace) -> Path | None:
    """Where to write; None: to the terminal.

    Raises:
        InputError: flags that do not go together, or a file of a kind that is not written.
    """
    from speechemb.errors import InputError

    if args.hop and not args.segments:
        raise InputError("--hop: says how often a segment begins: give --segments too")
    if args.hop and args.hop > args.segments:
        raise InputError(f"--hop {args.hop:g}: leaves gaps between segments of {args.segments:g} s: give a shorter one")
    if args.plot and not (args.segments and args.out):
        raise InputError("--plot: draws emotions over time beside the file: give --segments and --out too")
    if args.out and args.out.suffix not in SUFFIXES:
        raise InputError(f"--out {args.out}: the suffix chooses the format: give {', '.join(SUFFIXES)}")
    return paths.output(args.out) if args.out else None


def stamp_of(args: argparse.Namespace, model, recordings: str, enrolment: str) -> dict:
    """What the rows are made from and by."""
    from speechemb.artifacts import provenance, storage

    content = {
        "model": model.meta["tag"],
        "model_sha256": model.meta["content_sha256"],
        "recordings": recordings,
        "enrolment": enrolment,
        "precision": model.precisions,
        "segments": args.segments,
        "hop": args.hop,
        "min_confidence": args.min_confidence,
        "plot": args.plot,
    }
    return provenance.stamp("emotions", storage.SCHEMA, args.command, **content)


def say(results, model, n_files: int, measured: dict) -> None:
    """Say what was excluded, how many rows there are, and what cross-validation says of their confidence.

    Raises:
        InputError: there is no row.
    """
    from speechemb.errors import InputError, first

    if not results.written:
        reasons = first([f"{path} ({reason})" for path, reason in results.excluded])
        raise InputError(f"none of the {n_files} files could be predicted: {reasons}")
    for path, reason in results.excluded:
        cli.log.warning("%s excluded: %s", path, reason)
    if measured:
        cli.log.info("--min-confidence %g: %s", model.at_least, model.measured_words())
    rows = f"{results.written} segments of " if results.segments else ""
    cli.log.info("%s%d files, %d excluded", rows, n_files, len(results.excluded))


if __name__ == "__main__":
    sys.exit(cli.run(main))
