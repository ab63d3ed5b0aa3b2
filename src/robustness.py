"""Measure what noise, telephones, codecs, rooms and other changes of the recordings do to runs of step 3.

Reads   results/predictions_<run>.csv, the npz that the run was trained on, and the audio of its clips
Writes  results/robustness.csv     per run and change: UAR on changed test clips, its difference to the UAR on the same
                                   clips as they are with its 95 % interval over speakers, share of unchanged answers
        results/robustness.png     the same as a picture
        embeddings/<npz>_changed/<change>.npz   the embeddings of the changed clips, which further runs on the npz use

The models are those of the run's folds: they are fitted anew on the clean training clips, have to give the predictions
that step 3 wrote, and then get the changed versions of their own test clips. What is drawn for a clip (noise, a room,
the other speakers of a babble) depends on its id only. Noise is set against the whole clip, its pauses included.

Changes: babble_20db, babble_10db (5 other speakers), white_20db, white_10db (noise), hum_20db, hum_10db (of the mains),
telephone (300 to 3400 Hz), telephone_mulaw (with G.711), mp3_16, opus_13, opus_6 (kbit/s), echo_0.3s, echo_0.8s (RT60),
quieter_12db, louder_12db (up to full scale), clipped_12db (below the peak), pitch_-1, pitch_+1 (semitones), speed_0.95,
speed_1.05, silence_0.5s (before and after).

Example: python src/robustness.py wavlm_nano-ravdess-8emo-mean-svm-speaker5 --limit 480
Ends with: wrote results/robustness.csv and results/robustness.png: 21 changes of 1 run
"""

import argparse
import sys
from pathlib import Path

from speechemb import cli, paths, terminal


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="runs of step 3, by the name in predictions_<run>.csv")
    cli.add_words(parser, "--changes", ["all"], "which changes, of those named above")
    add("--limit", type=cli.positive, metavar="N", help="change only N clips of each npz, drawn with a fixed seed")
    add("--folds", type=Path, metavar="CSV", help="the table of published folds that step 3 was given, if it was")
    add("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="device to compute on")
    add("--overwrite", action="store_true", help="replace embeddings of changed clips that are not up to date")
    add("--results-dir", type=Path, default=paths.RESULTS, help="the folder step 3 wrote to")
    cli.add_figures(parser)
    return cli.parsed(parser, argv, __file__)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from speechemb.artifacts import atomic, freshness, predictions
    from speechemb.audio.changes import CHANGES
    from speechemb.evaluation import robustness
    from speechemb.splits import published
    from speechemb.training import refitting

    names, folder = changes_of(args), paths.output(args.results_dir)
    atomic.check_writable(folder)
    table = published.read(paths.existing(args.folds)) if args.folds else None
    stored = []
    for path in [folder / f"predictions_{run}.csv" for run in dict.fromkeys(args.runs)]:
        stored.append(predictions.read_predictions(path))
        freshness.check_upstream(path, paths.STEP3)
    stamps = [stamp for _, stamp in stored]
    refitting.check_suitable(stamps)
    sources = sources_of(stamps, args.device)
    runs = []
    for frame, stamp in stored:
        with terminal.bar(None, "folds", stamp["n_folds"] * stamp["repeats"], title=stamp["tag"]) as bar:
            runs.append((frame, refitting.refit(frame, stamp, table, bar.update)))
    rows = []
    for name in names:
        for source in sources.values():
            source.extract(name, args.limit, args.command, args.overwrite)
        for frame, run in runs:
            changed = refitting.read(run.stamp, [sources[item["path"]].out(name) for item in run.stamp["inputs"]])
            found = run.predictions(changed)
            rows.append(robustness.compared(run.stamp, name, CHANGES[name].words, frame, found))
    rows.sort(key=lambda row: [stamp["tag"] for stamp in stamps].index(row["run"]))
    write(args, folder, robustness.table_of(rows), stamps)


def changes_of(args: argparse.Namespace) -> list[str]:
    """The names of the changes asked for."""
    from speechemb.audio.changes import CHANGES
    from speechemb.errors import InputError, first

    if unknown := [name for name in args.changes if name not in (*CHANGES, "all")]:
        raise InputError(f"--changes {first(unknown)}: choose from {', '.join(CHANGES)}, all")
    return list(CHANGES) if "all" in args.changes else args.changes


def sources_of(stamps: list[dict], device: str) -> dict:
    """The clean npz of all runs by their paths as the stamps have them, with their encoders."""
    from speechemb.extraction.changed import Source

    found = {item["path"]: paths.ROOT / item["path"] for stamp in stamps for item in stamp["inputs"]}
    return {name: Source.of(path, device) for name, path in found.items()}


def write(args: argparse.Namespace, folder: Path, table, stamps: list[dict]) -> None:
    """Write table and picture, and print the table."""
    from speechemb.artifacts import atomic, provenance, storage
    from speechemb.evaluation import robustness
    from speechemb.visualization import robustness_figure

    path, content = folder / "robustness.csv", {stamp["tag"]: stamp["sha256"] for stamp in stamps}
    names = list(dict.fromkeys(table["change"]))
    stamp = provenance.stamp("robustness", storage.SCHEMA, args.command, runs=content, changes=names, limit=args.limit)
    with atomic.together() as files:
        storage.write_figure(path.with_suffix(".png"), robustness_figure.robustness(table), files, args.figures or "")
        storage.write_csv(path, table, {**stamp, "files": files.hashes(folder)}, files)
    print(robustness.text_of(table))
    count = f"{len(names)} change{'s' if len(names) > 1 else ''} of {len(stamps)} run{'s' if len(stamps) > 1 else ''}"
    print(f"wrote {paths.shown(path)} and {paths.shown(path.with_suffix('.png'))}: {count}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
