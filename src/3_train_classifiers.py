"""Step 3: train and test classifiers on the embeddings, by cross-validation.

Reads   embeddings/emotion_embeddings.npz, or the files given with --npz-path (several are pooled)
Writes  results/predictions_<run>.csv    out-of-fold predictions with probabilities
        results/training_<run>.csv       every fold's figures
        models/<run>/                    the classifier fitted on all clips, for predict.py

The default folds are speaker-disjoint: no speaker is trained and tested on. `--cv random` is there for comparison with
figures published that way; its outputs say so. Everything fitted, scaling included, sees the training part only.

Example: python src/3_train_classifiers.py --npz-path embeddings/emotion_embeddings.npz --classifier svm --n-folds 5
Ends with: wrote results/predictions_wavlm_base-ravdess-8emo-mean-svm-speaker5.csv and models/<the same>
"""

import argparse
import sys
import time
from pathlib import Path

from speechemb import cli, paths

CLASSIFIERS = ("svm", "mlp", "xgboost")


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("--npz-path", nargs="+", type=Path, metavar="NPZ", default=[paths.EMBEDDINGS / "emotion_embeddings.npz"],
        help="one or several files of step 2; their corpora are pooled")  # fmt: skip
    cli.add_words(parser, "--classifier", ["all"], "which to train", known=(*CLASSIFIERS, "all"))
    add("--n-folds", type=cli.positive, default=5)
    add("--cv", default="speaker", choices=("speaker", "session", "sentence", "random"),
        help="what the folds keep apart")  # fmt: skip
    add("--layer", default="mean", help="last, mean (average of the layers), all (side by side) or a layer's number")
    add("--cross-corpus", action="store_true", help="instead of folds: train on each corpus, test on every other")
    add("--seed", type=cli.seed, default=0)
    add("--overwrite", action="store_true", help="train again where the same run stands already")
    add("--models-dir", type=Path, default=paths.MODELS)
    add("--results-dir", type=Path, default=paths.RESULTS)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from speechemb import embeddings, splits, training

    npz = [paths.existing(path) for path in args.npz_path]
    data = embeddings.pooled(npz)
    if args.cross_corpus:
        data, folds, left_out = training.cross_corpus_folds(data)
        group = splits.groups("random", *identity_columns(data))
        print(f"classes that all corpora share: {len(data.labels)} clips kept, {left_out} of other classes left out")
    else:
        group = splits.groups(args.cv, *identity_columns(data))
        folds = splits.folds(data.labels, group, args.n_folds, args.cv, args.seed)
        left_out = 0
    task = training.task_of(data, args.layer, group)
    protocol = "cross-corpus" if args.cross_corpus else args.cv
    print(f"{len(task.y)} clips, {task.x.shape[1]} features, {len(task.labels)} classes, {len(folds)} x "
          f"{training.PROTOCOL_NOTES[protocol]}")  # fmt: skip
    for name in CLASSIFIERS if "all" in args.classifier else args.classifier:
        train_and_write(args, npz, data, task, folds, name, protocol, left_out)


def identity_columns(data):
    """Who and what each clip is, in the order that `splits.groups` takes."""
    return data.corpora, data.speakers, data.sessions, data.sentences, data.audio_sha256


def train_and_write(args, npz, data, task, folds, name: str, protocol: str, left_out: int) -> None:
    """One classifier: out-of-fold predictions, log, and (except across corpora) the model fitted on everything."""
    import numpy as np

    from speechemb import artifacts, runs, trained, training

    started, log = time.perf_counter(), []

    def note(figures):
        log.append(figures)
        print(f"  {name} fold {figures['fold']}: UAR {figures['uar']:.3f}, accuracy {figures['accuracy']:.3f}")

    run = runs.Run(data, task, name, protocol, args.layer, len(folds), args.seed, npz)
    stamp = run.stamp(folds, left_out)
    predictions = paths.output(args.results_dir) / f"predictions_{run.tag}.csv"
    folder = paths.output(args.models_dir) / run.tag
    needed = [predictions] if args.cross_corpus else [predictions, folder / "model.json"]
    if not args.overwrite and all(artifacts.stands(path, stamp) for path in needed):
        print(f"{paths.shown(predictions)} stands already, made from the same embeddings by the same code")
        return
    results = list(training.out_of_fold(name, task, folds, args.seed, note))
    artifacts.write_predictions(predictions, training.predictions(data, task, results), task.labels, stamp)
    artifacts.write_log(predictions.with_name(f"training_{run.tag}.csv"), log, stamp)
    written = paths.shown(predictions)
    if not args.cross_corpus:
        final = training.fitted(name, task, np.arange(len(task.y)), args.seed, keep=True)
        trained.save(folder, final, run.model_stamp(stamp, log))
        written += f" and {paths.shown(folder)}"
    print(f"{name}: {runs.headline(log, task.labels)}, {time.perf_counter() - started:.1f} s")
    print(f"wrote {written}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
