"""Step 2: turn every clip into an embedding.

Reads   data/processed/<corpus>.csv (all of them, or those given with --metadata) and the audio they list
Writes  embeddings/emotion_embeddings.npz for the default encoder, emotion_embeddings_<encoder>.npz for others

Each clip's hidden states are pooled over its own frames, layer by layer; the other clips of the batch do not matter.
If a run is stopped, the same command resumes it. `--shard` and `--ray` divide it among several machines.
`--model acoustic` gives the baseline without a network, `--model features:FOLDER_OR_FILE` takes features that another
program computed.
`--augment 2` adds two augmented copies of every clip, marked as such: step 3 may train on them, never test on them.

Example: python src/2_wavlm_feature_extraction.py --model hubert_large --pooling mean std
Ends with: wrote embeddings/emotion_embeddings_hubert_large.npz: 4895 clips x 25 layers x 2048 dimensions
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from speechemb import cli, encoders, paths

if TYPE_CHECKING:
    from pandas import DataFrame

    from speechemb.extraction.run import ExtractionRun


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("--metadata", nargs="+", type=Path, metavar="CSV", help="step 1's files (default: all in data/processed)")
    model = f"a tag ({', '.join(encoders.TAGS)}), a hub id with optional @revision, a folder, {encoders.ACOUSTIC}, "
    own = f"{encoders.EGEMAPS}, or {encoders.FEATURES}FOLDER_OR_FILE for features computed elsewhere"
    add("--model", default=encoders.DEFAULT, help=model + own)
    layers = "all, last (hidden_states[-1] of transformers), or numbers such as 0,6,12; 0: the projected CNN features"
    add("--layers", default="all", help=layers)
    pooling = "pooling over the frames of a clip; several are concatenated"
    cli.add_words(parser, "--pooling", ["mean"], pooling, known=encoders.POOLINGS)
    context = f"for Whisper: the 30 s window, as published, or the clip alone (default: {encoders.DEFAULT_CONTEXT})"
    add("--context", choices=encoders.CONTEXTS, help=context)
    add("--out", type=Path, metavar="NPZ", help="npz to write (default: embeddings/emotion_embeddings[_<encoder>].npz)")
    batch = "seconds of audio per batch (default: 10 on a CPU, where every core takes a batch, 120 elsewhere)"
    add("--batch-seconds", type=cli.positive, metavar="S", help=batch)
    add("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"), help="device to compute on")
    precision = "precision to compute in; int8, on x86 CPUs, is faster and less exact"
    add("--precision", default="auto", choices=("auto", *encoders.PRECISIONS), help=precision)
    add("--limit", type=cli.positive, metavar="N", help="use only N clips, drawn with a fixed seed")
    augment = "augmented copies per clip, to train on: speed, pitch, noise, gain"
    add("--augment", type=cli.whole, default=0, metavar="N", help=augment)
    add("--overwrite", action="store_true", help="replace a file or an unfinished run that has other settings")
    machines = parser.add_mutually_exclusive_group()
    part = "compute every N-th batch only, on one of N machines with a common disk; the last to end writes the npz"
    machines.add_argument("--shard", type=cli.shard, metavar="I/N", help=part)
    ray = "compute on the machines of a Ray cluster (default: the one that runs on this machine)"
    machines.add_argument("--ray", nargs="?", const="auto", metavar="ADDRESS", help=ray)
    return cli.parsed(parser, argv, __file__)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    # After parse_args, so that --help does not wait for torch.
    from speechemb.artifacts import atomic, freshness
    from speechemb.encoders.names import source_of
    from speechemb.extraction.clips import read_clips
    from speechemb.extraction.run import ExtractionRun
    from speechemb.layers import parse_layers

    clips, excluded, inputs = read_clips([paths.existing(csv) for csv in args.metadata or []], args.limit)
    tag = encoders.tag_of(args.model, args.context)
    out = paths.output(args.out) if args.out else default_out(tag)
    atomic.check_writable(out.parent)
    model = load(args, out, clips)
    methods = model.own_pooling or args.pooling
    layers = parse_layers(args.layers, model.n_layers)
    command, precision = args.command, args.precision
    source = source_of(args.model)
    run = ExtractionRun(model, tag, source, layers, methods, precision, inputs, args.limit, command, args.augment)
    if not args.overwrite:
        if freshness.is_up_to_date(out, run.stamp()):
            print(f"{paths.shown(out)} is up to date, skipped: made from the same clips with the same settings")
            return
        freshness.check_absent(out, run.stamp())

    many = "copies" if args.augment > 1 else "copy"
    copies = f" and {args.augment} augmented {many} of each" if args.augment else ""
    print(f"{len(clips)} clips, {clips.duration_s.sum() / 60:.1f} minutes{copies}, with {tag}")
    left = extract(args, run, clips, excluded, out)
    rows, dim = len(clips) * (1 + args.augment), model.dim * len(methods)
    print(left or f"wrote {paths.shown(out)}: {rows} clips x {len(layers)} layers x {dim} dimensions")


def load(args: argparse.Namespace, out: Path, clips: "DataFrame") -> encoders.Encoder:
    """The encoder; a resumed run keeps the precision it started with."""
    from speechemb.extraction import resume, shards

    if args.ray:
        from speechemb.extraction import cluster

        cluster.check_usable(args.model)
    if args.model.startswith(encoders.FEATURES):
        from speechemb.encoders import features

        return features.load(args.model, clips, args.pooling, args.augment, args.context)
    begun = None
    if not args.overwrite:
        begun = shards.recorded_precision(out, args.shard[1]) if args.shard else resume.recorded_precision(out)
    return encoders.load(args.model, args.device, begun or args.precision, args.context)


def extract(
    args: argparse.Namespace, run: "ExtractionRun", clips: "DataFrame", excluded: "DataFrame", out: Path
) -> str:
    """Compute, here, on a cluster or one shard; what is left to do, empty where the npz is written."""
    from speechemb.artifacts import atomic
    from speechemb.extraction import shards

    plan = run.plan(clips, args.batch_seconds or run.model.batch_seconds)
    if args.shard:
        left = shards.extract(run, plan, excluded, out, args.overwrite, args.shard)
        return left and f"shard {args.shard[0]}/{args.shard[1]} is done; {left}"
    compute = None
    if args.ray:
        from speechemb.extraction import cluster

        compute = cluster.on_ray(run, args.ray)
    with atomic.alone(out):
        run.extract(plan, excluded, out, args.overwrite, compute)
    return ""


def default_out(tag: str) -> Path:
    """`emotion_embeddings.npz` for the default encoder, `emotion_embeddings_<tag>.npz` for the others."""
    suffix = "" if tag == encoders.DEFAULT else f"_{tag}"
    return paths.EMBEDDINGS / f"emotion_embeddings{suffix}.npz"


if __name__ == "__main__":
    sys.exit(cli.run(main))
