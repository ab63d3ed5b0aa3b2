"""`--guess-speakers`: what it goes with, and the runs' clips with the speakers that it makes."""

import argparse

from speechemb import paths
from speechemb.artifacts.embeddings import Embeddings
from speechemb.errors import InputError
from speechemb.splits import guessing


def check(args: argparse.Namespace) -> None:
    """Raise an InputError where another flag also says how the clips are divided, or needs real speakers."""
    others = {
        f"--cv {args.cv}": args.cv not in (None, "speaker"),
        "--folds": args.folds,
        "--cross-corpus": args.cross_corpus,
        "--leak": args.leak,
        "--normalise": args.normalise,
        f"--target {args.target[0]}": args.target != ["emotion"],
        "--fuse": args.fuse,  # whose speakers are guessed from one encoder
    }
    if clash := [flag for flag, given in others.items() if given]:
        raise InputError(f"--guess-speakers does not go with {clash[0]}: drop one of them")


def guessed(args: argparse.Namespace, parts: list[Embeddings]) -> list[Embeddings]:
    """The clips of each run; with the flag, they have guessed speakers.

    Raises:
        InputError: as `guessing.with_guesses`.
    """
    if not args.guess_speakers:
        return parts
    check(args)
    return guessing.with_guesses(parts, [paths.existing(path) for path in args.npz_path], args.guess_speakers)
