"""Step 3: train and test classifiers on the embeddings, by cross-validation.

Reads   embeddings/emotion_embeddings.npz, or the files given with --npz-path (several are pooled)
Writes  results/predictions_<run>.csv    out-of-fold predictions with probabilities
        results/probes_<run>.csv         the same of --target speaker, gender, sentence or intensity
        results/regression_<run>.csv     the same of targets that are numbers, as --target arousal valence
        results/training_<run>.csv       the figures of every fold, and what was chosen in it
        results/excluded_<run>.csv       the clips of the npz that the run cannot use, where there are any
        results/tuning_<run>.csv         with --tune: every trial of every fold and of the final model
        results/layer_weights_<run>.csv  and .png, with --protocol superb: the learned layer weights
        models/<run>/                    the classifier fitted on all clips, for predict.py

The default folds are speaker-independent: no speaker is in both training and test. `--cv random` allows a comparison
with figures published that way; its outputs are marked as optimistic, and so are those of `--guess-speakers N`, whose
folds are over speakers guessed by clustering. `--normalise speaker` is another task: transductive, uses the test
speaker's unlabelled clips; its outputs say so. Everything that is fitted or chosen (scaling, early stopping, --layer
auto, --tune) uses the training part of a fold only. Augmented copies are trained on together with their originals and
are never tested on.

Example: python src/3_train_classifiers.py --npz-path embeddings/emotion_embeddings.npz --classifier svm --n-folds 5
Ends with: wrote results/predictions_wavlm_base-ravdess-8emo-mean-svm-speaker5.csv and models/<the same>
           of several runs: wrote results/predictions_<run>.csv and models/<run>: 4 runs
"""

import argparse
import itertools
import sys
import time
from pathlib import Path

from speechemb import cli, paths, splits, terminal
from speechemb.classifiers import CLASSIFIERS
from speechemb.labels import parse_emotions

N_FOLDS = 5  # of --n-folds


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    data = parser.add_argument_group("data")
    add_data_flags(data)
    add_normalise_flag(data)
    add_rater_flags(data)
    add_fold_flags(parser.add_argument_group("folds"))
    add_classifier_flags(parser.add_argument_group("classifier"))
    add_output_flags(parser.add_argument_group("output"))
    return cli.parsed(parser, argv, __file__)


def add_data_flags(group) -> None:
    default = [paths.EMBEDDINGS / "emotion_embeddings.npz"]
    files = "one or several files of step 2, as if they were one"
    group.add_argument("--npz-path", nargs="+", type=Path, metavar="NPZ", default=default, help=files)
    fuse = "the files are of several encoders: concatenate their features, for the clips that are in all of them"
    group.add_argument("--fuse", action="store_true", help=fuse)
    corpora = (
        "which corpora of the files to use: a run of its own for each word, one run for words joined by + (such as "
        "iemocap+cremad) or for all (default: a run of its own for each corpus; with --cross-corpus: all)"
    )
    cli.add_words(group, "--corpora", None, corpora)
    cli.add_words(group, "--emotions", ["all"], "classes to use, of those in the files")
    target = (
        f"what to recognise: emotion, or {', '.join(splits.PROBES)}, with folds of their own and a run for each; or "
        "numbers of the corpus, such as arousal valence, predicted together"
    )
    cli.add_words(group, "--target", ["emotion"], target)
    group.add_argument("--regression", action="store_true", help="predict --target intensity as a number")
    group.add_argument(
        "--layer",
        default="mean",
        help="last, mean (average of the layers), all (concatenated), a layer's number, auto (chosen inside each fold) "
        "or each (one run per layer, without models, for a layer curve)",
    )


def add_normalise_flag(group) -> None:
    group.add_argument(
        "--normalise",
        choices=tuple(splits.NORMALISED),
        help="standardise features within each speaker, over all clips of the speaker: transductive, uses the test "
        "speaker's unlabelled clips; the outputs say so, and predict.py needs --enrol",
    )


def add_rater_flags(group) -> None:
    add = group.add_argument
    raters = "labels by raters' majority: a table of votes or probabilities by emotion, CREMA-D's tabulatedVotes.csv "
    raters += "or summaryTable.csv, or IEMOCAP's folder; logistic and mlp learn the distribution"
    add("--raters", type=Path, metavar="FILE", help=raters)
    add("--ties", action="store_true", help="keep the clips on which raters tie (default: they are excluded)")
    add("--hard-labels", action="store_true", help="with --raters: all classifiers learn from the majority alone")


def add_fold_flags(group) -> None:
    add = group.add_argument
    add("--n-folds", type=cli.positive, help=f"number of folds of the cross-validation (default: {N_FOLDS})")
    add(
        "--cv",
        choices=tuple(splits.PROTOCOLS),
        help="what training and test must not share (default: speaker; with --protocol superb: session)",
    )
    add("--repeats", type=cli.positive, default=1, help="repetitions of the cross-validation, each with another seed")
    add(
        "--folds",
        type=Path,
        metavar="CSV",
        help="published folds instead of --cv: a table with speaker, session, path or clip_id, and split (train, "
        "development, test), fold1 fold2 ... (the same words) or test_fold; development clips are not used",
    )
    add("--guess-speakers", type=cli.positive, metavar="N", help=splits.GUESS_HELP)
    add("--cross-corpus", action="store_true", help="instead of folds: train on each corpus, test on every other")
    add(
        "--leak",
        choices=tuple(splits.LEAKS),
        help="deliberate leakage, to measure how much UAR it adds: scale on all clips, or divide augmented copies at "
        "random (with --cv random); the outputs are marked LEAK",
    )
    add("--seed", type=cli.seed, default=0, help="seed of the folds and the classifiers")


def add_classifier_flags(group) -> None:
    names = f"{', '.join(CLASSIFIERS)} or all; of numbers {', '.join(splits.REGRESSORS)} or all"
    known = dict.fromkeys((*CLASSIFIERS, *splits.REGRESSORS, "all"))
    cli.add_words(group, "--classifier", ["all"], f"which to train: {names}", known=known)
    add = group.add_argument
    add(
        "--tune",
        type=cli.positive,
        metavar="N",
        help="choose the settings by N Optuna trials inside each fold; not for logistic, which always chooses its C",
    )
    probe = "superb: its probe, a learned sum of all layers and linear layers; emosuperb: its target and figure, "
    probe += "with --raters and --folds"
    add("--protocol", choices=("superb", "emosuperb"), help=probe)


def add_output_flags(group) -> None:
    add = group.add_argument
    add("-v", "--verbose", action="store_true", help="print a line for each fold")
    add("--overwrite", action="store_true", help="train again even if the run is up to date")
    add("--models-dir", type=Path, default=paths.MODELS, help="folder of the models")
    add("--results-dir", type=Path, default=paths.RESULTS, help="folder of everything else")


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from speechemb.artifacts import atomic
    from speechemb.evaluation import trained_on
    from speechemb.splits import protocols, targets
    from speechemb.training import announcements, guesses
    from speechemb.training.cross_validation import Recipe
    from speechemb.training.regression import run_of

    targets.check(args.target, args.regression)
    args.numeric = targets.is_numeric(args.target, args.regression)
    for folder in (args.results_dir, args.models_dir):
        atomic.check_writable(paths.output(folder))
    data = read(args)
    classifiers, layers = asked(args, data)
    emotions = parse_emotions(args.emotions)
    parts = guesses.guessed(args, protocols.by_corpora(data, args.corpora, args.cross_corpus))
    jobs = list(planned(args, parts, emotions))
    plans = [plan for _, plan in jobs]
    corpora = sorted({corpus for plan in plans for corpus in plan.data.corpora.tolist()})
    trained = trained_on.summary([meta["encoder"] for meta in data.parts or [data.meta]], corpora)
    width, written = max(map(len, classifiers)) + max(map(len, layers)), []
    with terminal.bar(None, "folds", sum(len(plan.folds) for plan in plans) * len(classifiers) * len(layers)) as bar:
        for protocol, plan in jobs:
            announcements.announce(plan, args.numeric)
            for name, layer in itertools.product(classifiers, layers):
                recipe = Recipe(name, args.seed, layer, args.tune or 0, protocol.leak)
                run = run_of(plan, recipe, protocol, args.command, args.target if args.numeric else [])
                shown = run.tag + " " * (width - len(name) - len(layer))
                written.append(train_and_write(args, run, shown, bar))
    for line in trained_on.warnings(trained):
        cli.log.warning("%s", line)
    if written := list(filter(None, written)):
        print(announcements.written_words(written))


def planned(args, parts, emotions):
    """The protocol and the plan of every run's clips: of each class target a run, of numbers one run together."""
    from speechemb.splits import targets

    for target in ["+".join(args.target)] if args.numeric else args.target:
        for part in parts:
            of_superb = args.protocol and target == "emotion"
            protocol = protocol_of(args, "session" if of_superb else targets.default_cv(target, part))
            if args.numeric:
                yield protocol, targets.numeric_plan(part, protocol, emotions, args.target)
            else:
                yield protocol, targets.plan(part, protocol, emotions, target, bool(args.n_folds))


def read(args):
    """The embeddings of all files, as the flags ask for."""
    from speechemb.training import reading

    return reading.read(args)


def protocol_of(args, default: str):
    """The protocol that the flags of the folds ask for; `default`: what the folds hold out without them."""
    from speechemb.errors import InputError
    from speechemb.splits import protocols, published

    normalise = args.normalise or ""
    if args.cross_corpus and (args.cv or args.n_folds or args.folds):
        raise InputError("--cross-corpus has no folds: drop --cv, --n-folds and --folds")
    if args.folds:
        if args.cv or args.n_folds:
            raise InputError("--folds gives the folds: drop --cv and --n-folds")
        table = published.read(paths.existing(args.folds))
        return protocols.Protocol(
            table.name, len(table.uses), args.seed, args.repeats, args.leak or "", table, normalise
        )
    asked = splits.CROSS_CORPUS if args.cross_corpus else args.cv or default
    cv = f"{splits.GUESSED}{args.guess_speakers}" if args.guess_speakers else asked
    return protocols.Protocol(cv, args.n_folds or N_FOLDS, args.seed, args.repeats, args.leak or "", None, normalise)


def asked(args, data) -> tuple[list[str], list[str]]:
    """The classifiers and layers to run."""
    from speechemb.errors import InputError
    from speechemb.training import raters, tuning

    if args.protocol == "superb":
        from speechemb.classifiers import superb

        if args.numeric:
            raise InputError("--protocol superb tells classes: drop it, or give a --target that is one")
        if args.classifier != ["all"] or args.layer != "mean" or args.tune:
            raise InputError(
                "--protocol superb brings its own classifier: do not combine it with --classifier, --layer or --tune"
            )
        superb.check(data.meta, data.layers.tolist())
        return ["superb"], ["weighted"]
    if args.protocol:
        args.classifier = raters.classifiers(args.classifier)
    layers = [str(number) for number in data.layers] if args.layer == "each" else [args.layer]
    return tuning.tunable(args.classifier, args.tune or 0, args.numeric), layers


def train_and_write(args, run, shown: str, bar) -> tuple[Path, Path | None] | None:
    """Train one classifier; write its predictions, its log and, where there is one, the final model.

    The paths of the predictions and of the model; None where they are up to date. `shown`: the name in the terminal.
    """
    from speechemb.artifacts import freshness

    started, stamp, name = time.perf_counter(), run.stamp(), run.recipe.classifier
    results, folder = paths.output(args.results_dir), paths.output(args.models_dir)
    path = results / run.name
    model = folder / run.tag if run.makes_model and args.layer != "each" else None
    bar.set_description_str(name)
    if not args.overwrite:
        needed = [path, model / "model.json"] if model else [path]
        if all(freshness.is_up_to_date(one, stamp) for one in needed):
            bar.update(len(run.plan.folds))
            terminal.say(f"  {shown}  is up to date, skipped")
            return None
        freshness.check_replaceable(path, stamp, settings=("labels",))

    def note(rows):
        bar.update()
        for row in rows if args.verbose else []:
            terminal.say(f"    {name} fold {row['fold']}: {run.fold_words(row)}")

    if line := run.warning(final=model is not None):
        cli.log.warning("%s", line)
    outcome = run.cross_validated(note, final=model is not None)
    run.write(outcome, stamp, results, folder)
    other_task = f" ({splits.TRANSDUCTIVE})" if run.protocol.normalise else ""
    seconds = time.perf_counter() - started
    terminal.say(f"  {shown}  {run.headline(outcome)}, {seconds:.1f} s{other_task}")
    return path, model


if __name__ == "__main__":
    sys.exit(cli.run(main))
