"""The clips that a run of step 3 is given: read as its flags ask for, standardised, and under their raters' labels."""

import argparse

from speechemb import paths, terminal
from speechemb.artifacts import embeddings, fusion
from speechemb.artifacts.embeddings import Embeddings
from speechemb.corpora import votes
from speechemb.errors import InputError
from speechemb.labels import parse_emotions
from speechemb.training.normalisation import within_speakers
from speechemb.training.raters import EMOSUPERB_CLIPS, Raters

SUPERB, EMOSUPERB = "superb", "emosuperb"  # what --protocol takes


def read(args: argparse.Namespace) -> Embeddings:
    """The embeddings of all files, with one layer or all of them, as the flags ask for."""
    if args.normalise and (args.protocol or args.layer == "auto"):
        raise InputError("--normalise speaker takes features as they are: drop --protocol and --layer auto")
    raters = raters_of(args)
    data = read_files(args)
    data = within_speakers(data) if args.normalise else data
    if raters is None:
        return data
    data = raters.relabelled(data)
    data.raters = raters
    terminal.say(raters.note)
    return data


def read_files(args: argparse.Namespace) -> Embeddings:
    """The embeddings of the files, pooled or fused."""
    npz = [paths.existing(path) for path in args.npz_path]
    if not args.fuse:
        every_layer = args.protocol == SUPERB or args.layer in ("auto", "each")
        return embeddings.concatenated(npz, layer="" if every_layer else args.layer)
    if args.protocol == SUPERB:
        raise InputError("--protocol superb learns the weights of one encoder's layers: drop --fuse")
    return fusion.fused(npz, args.layer)


def raters_of(args: argparse.Namespace) -> Raters | None:
    """What `--raters` and the flags with it ask for; None without it."""
    emosuperb = args.protocol == EMOSUPERB
    if emosuperb and not (args.raters and args.folds):
        raise InputError(
            "--protocol emosuperb needs --raters with its voice distribution of CREMA-D and --folds with its folds by "
            f"speaker; its published figures are for all {EMOSUPERB_CLIPS} clips"
        )
    if emosuperb and args.hard_labels:
        raise InputError("--protocol emosuperb learns the distribution: drop --hard-labels")
    if not args.raters:
        if args.ties or args.hard_labels:
            raise InputError(f"{'--ties' if args.ties else '--hard-labels'} is about raters' votes: give --raters")
        return None
    found = votes.read(paths.existing(args.raters))
    return Raters(found, args.ties or emosuperb, args.hard_labels, emosuperb, parse_emotions(args.emotions))
