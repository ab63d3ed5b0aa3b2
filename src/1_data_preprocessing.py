"""Step 1: list the clips of one or several corpora, check every one of them, and write what can be used.

A clip is used if its corpus labels it, its emotion is one of those asked for, and its audio decodes, is
finite, is not silent and lasts at least 0.1 s. Byte-identical clips under two emotions are both left out.

Reads   the corpora's audio and label files: data/CREMA-D, data/RAVDESS, data/EmoDB, data/IEMOCAP, the bundled
        data/demo, a table of your own; IEMOCAP (unless --data-dir is given) and, if asked, CREMA-D from the
        Hugging Face hub, kept in data/<corpus>/hub
Writes  data/processed/<corpus>.csv           a row a clip (with <corpus>.meta.json: where it came from)
        data/processed/<corpus>_excluded.csv  what was left out, and why

Example
    python src/1_data_preprocessing.py --corpora ravdess --data-dir ~/corpora/RAVDESS
The last line it prints
    wrote data/processed/ravdess.csv (672 clips)
"""

import sys

from speechemb import cli, paths
from speechemb.errors import InputError
from speechemb.labels import DEFAULT_EMOTIONS, parse_emotions

HUB_FRACTION = 0.05  # of IEMOCAP's hub copy: enough to try the pipeline, small enough for a first run


def parse_args(argv=None):
    from speechemb import corpora  # here, so that cli.run says what to do where numpy is not installed

    parser = cli.parser(__doc__)
    cli.add_words(parser, "--corpora", ["iemocap", "cremad"], f"one or several of {', '.join(corpora.WORDS)}")
    parser.add_argument("--data-dir", metavar="DIR", help="the folder of the corpus; only with one corpus")
    cli.add_words(parser, "--emotions", list(DEFAULT_EMOTIONS), "classes to keep, or `all` of the corpus")
    parser.add_argument(
        "--iemocap-fraction",
        metavar="F",
        type=cli.fraction,
        help="part of IEMOCAP to draw, stratified by emotion and session (default: "
        f"{HUB_FRACTION} of a hub copy, all of a local release)",
    )
    parser.add_argument(
        "--iemocap-source",
        metavar="SOURCE",
        help="hub, local, or a data set on the hub, <id>[@revision] (default: hub; local with --data-dir)",
    )
    parser.add_argument("--cremad-source", metavar="SOURCE", default="local", help="the same for CREMA-D")
    parser.add_argument("--seed", type=cli.seed, default=0, help="of the draw of --iemocap-fraction")
    parser.add_argument("--out-dir", metavar="DIR", default="data/processed", help="where the CSVs go")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    from speechemb import corpora
    from speechemb.artifacts import metadata
    from speechemb.corpora import prepare

    wanted = parse_emotions(args.emotions)
    out_dir = paths.output(args.out_dir)
    if args.data_dir and len(args.corpora) > 1:
        raise InputError("--data-dir is the folder of one corpus: run this script once for each corpus")

    sources = {"iemocap": args.iemocap_source, "cremad": args.cremad_source}
    prepared = []
    for corpus in [corpora.read(word, args.data_dir, sources.get(word)) for word in args.corpora]:
        fraction = 1.0
        if corpus.name == "iemocap":
            fraction = args.iemocap_fraction or (1.0 if corpus.source == "local" else HUB_FRACTION)
        print(f"{corpus.name}: {len(corpus.clips)} clips listed, from {corpus.source}", end="")
        print(f", of which {100 * fraction:g} % are drawn" if fraction < 1 else "")
        if corpus.published and len(corpus.clips) < corpus.published:
            cli.log.warning("%s: the published corpus has %d clips", corpus.name, corpus.published)
        prepared.append(prepare.prepare(corpus, wanted, fraction, args.seed))
    prepare.check_together(prepared, wanted)
    for word in args.corpora:
        table = paths.existing(word.removeprefix(corpora.TABLE))
        if table in [out_dir / f"{one.corpus}.csv" for one in prepared]:
            raise InputError(f"{word} would be overwritten: move it out of {paths.shown(out_dir)}")

    print(prepare.counts(prepared).to_string(index=False))
    for one in prepared:
        for reason, n in prepare.left_out(one).items():
            print(f"{one.corpus}: {n} left out: {reason}")
    # Only now: where one corpus fails, none is written.
    for one in prepared:
        path = out_dir / f"{one.corpus}.csv"
        metadata.write_metadata(path, one.frame, one.excluded, **one.content)
        print(f"wrote {paths.shown(path)} ({len(one.frame)} clips)")


if __name__ == "__main__":
    sys.exit(cli.run(main))
