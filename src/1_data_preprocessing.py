"""Step 1: list the clips of one or several corpora, check each of them, and write those that can be used.

Reads   the corpora's audio and label files: data/CREMA-D, data/RAVDESS, data/EmoDB, data/IEMOCAP, the bundled
        data/demo, a table of your own, or an audformat database. IEMOCAP and CREMA-D come from the Hugging Face hub
        where data/ does not hold them, and are kept in data/<corpus>/hub
Writes  data/processed/<corpus>.csv, one row per clip, with <corpus>.meta.json: where it came from
        data/processed/<corpus>_excluded.csv: the clips that were excluded, and why
        data/processed/<corpus>_card.json: speakers, emotions, lengths, levels and duplicates of the clips

A clip is used if its corpus labels it, its emotion is one of those asked for, and its audio decodes, is
finite, is not silent and lasts at least 0.1 s. Byte-identical clips under two emotions are both excluded.

Example: python src/1_data_preprocessing.py --corpora ravdess --data-dir ~/corpora/RAVDESS
Ends with: wrote data/processed/ravdess.csv (672 clips)
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from speechemb import cli, corpora, paths
from speechemb.errors import InputError
from speechemb.labels import DEFAULT_EMOTIONS, parse_emotions

if TYPE_CHECKING:
    from speechemb.corpora.prepare import Prepared

HUB_FRACTION = 0.05  # of IEMOCAP's hub copy: enough to try the pipeline, small enough for a first run


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    cli.add_words(parser, "--corpora", ["iemocap", "cremad"], f"one or several of {', '.join(corpora.WORDS)}")
    add("--data-dir", type=Path, metavar="DIR", help="the folder of the corpus; only with one corpus")
    cli.add_words(parser, "--emotions", list(DEFAULT_EMOTIONS), "classes to keep, or `all` of the corpus")
    fraction = "part of IEMOCAP to draw, stratified by emotion and session"
    fraction += f" (default: {HUB_FRACTION} of a hub copy, all of a local release)"
    add("--iemocap-fraction", metavar="F", type=cli.fraction, help=fraction)
    source = "hub, local, or a data set on the hub, <id>[@revision]"
    dialogues = f"{source}, or {corpora.DIALOGUES}: the local release's dialogues, cut by its own times"
    add("--iemocap-source", metavar="SOURCE", help=f"{dialogues} (default: local; hub where data/ does not hold it)")
    add("--cremad-source", metavar="SOURCE", help="the same for CREMA-D")
    add("--ties", action="store_true", help="of tables of raters' votes: keep the clips on which raters tie")
    add("--seed", type=cli.seed, default=0, help="of the draw of --iemocap-fraction")
    add("--out-dir", type=Path, metavar="DIR", default=paths.PROCESSED, help="where the CSVs go")
    add("--overwrite", action="store_true", help="replace a CSV of the same corpus that has other settings")
    return cli.parsed(parser, argv, __file__)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    # After parse_args, so that --help does not wait for pandas.
    from speechemb.artifacts import atomic
    from speechemb.corpora import card, prepare

    wanted = parse_emotions(args.emotions)
    out_dir = paths.output(args.out_dir)
    atomic.check_writable(out_dir)
    if args.data_dir and len(args.corpora) > 1:
        raise InputError("--data-dir is the folder of one corpus: run this script once for each corpus")
    for word in args.corpora:
        corpora.check_word(word)
    prepared, failed = all_prepared(wanted, args)
    prepare.check_together(prepared, wanted)
    check_tables(args.corpora, prepared, out_dir)

    print(prepare.counts(prepared).to_string(index=False))
    for one in prepared:
        for reason, n in prepare.reasons(one).items():
            print(f"{one.corpus}: {n} excluded: {reason}")
        for line in card.lines(one.card):
            print(f"{one.corpus}: {line}")
        for line in card.warnings(one.card):
            cli.log.warning("%s: %s", one.corpus, line)
    write(prepared, out_dir, args)
    if failed:
        raise InputError("; ".join(failed))


def write(prepared: list["Prepared"], out_dir: Path, args: argparse.Namespace) -> None:
    """Write the files of all corpora together: where one cannot be written, none is."""
    from speechemb.artifacts import atomic, freshness, metadata, storage

    with atomic.together() as files:
        for one in prepared:
            path, stamp = out_dir / f"{one.corpus}.csv", metadata.metadata_stamp(args.command, one.content)
            if not args.overwrite:
                freshness.check_replaceable(path, stamp, metadata.SETTINGS)
            card = {"kind": "card", "corpus": one.corpus, **one.card}
            storage.write_json(path.with_name(f"{one.corpus}_card.json"), card, files)
            metadata.write_metadata(path, one.clips, one.excluded, stamp, files)
    for one in prepared:
        print(f"wrote {paths.shown(out_dir / one.corpus)}.csv ({len(one.clips)} clips)")


def all_prepared(wanted: list[str] | None, args: argparse.Namespace) -> tuple[list["Prepared"], list[str]]:
    """The corpora that can be written, and a line for each that cannot. Raises where there is none."""
    sources = {"iemocap": args.iemocap_source, "cremad": args.cremad_source}
    prepared, failed = [], []
    for word in args.corpora:
        try:
            corpus = corpora.read(word, args.data_dir, sources.get(word), args.ties)
            prepared.append(prepared_from(corpus, wanted, args))
        except InputError as error:
            failed.append(str(error))
    if not prepared:
        raise InputError("; ".join(failed))
    return prepared, failed


def prepared_from(corpus: corpora.Corpus, wanted: list[str] | None, args: argparse.Namespace) -> "Prepared":
    """Choose and check the clips of one corpus, after a line that says how many it lists."""
    from speechemb.corpora import prepare

    fraction = 1.0
    if corpus.name == "iemocap":
        fraction = args.iemocap_fraction or (1.0 if corpus.source in ("local", corpora.DIALOGUES) else HUB_FRACTION)
    drawn = f", of which {100 * fraction:g} % are drawn" if fraction < 1 else ""
    print(f"{corpus.name}: {len(corpus.clips)} clips listed, from {corpus.source}{drawn}")
    if corpus.published and len(corpus.clips) < corpus.published:
        cli.log.warning("%s: the published corpus has %d clips", corpus.name, corpus.published)
    return prepare.prepare(corpus, wanted, fraction, args.seed)


def check_tables(words: list[str], prepared: list["Prepared"], out_dir: Path) -> None:
    """Raise where a table given as `table:FILE.csv` is a file that this run would write."""
    for word in words:
        table = paths.existing(word.removeprefix(corpora.TABLE))
        if table in [out_dir / f"{one.corpus}.csv" for one in prepared]:
            raise InputError(f"{word} would be overwritten: move it out of {paths.shown(out_dir)}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
