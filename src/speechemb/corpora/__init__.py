"""The corpora: a module each, whose docstring is the corpus card; `read` gives the clips of any of them.

A corpus module lists clips without opening their audio: `clips(folder)`, FOLDER (its name below `data/`),
PUBLISHED (how many clips the complete corpus has) and SOURCE (where to get it).
"""

from dataclasses import dataclass
from pathlib import Path

from speechemb.corpora import cremad, emodb, iemocap, ravdess, table
from speechemb.corpora.clip import Clip
from speechemb.errors import InputError
from speechemb.paths import DATA, existing, shown

CORPORA = {"iemocap": iemocap, "cremad": cremad, "ravdess": ravdess, "emodb": emodb}
DEMO = "demo"  # the bundled synthetic corpus in data/demo, named like CREMA-D, actors 9001 and up
TABLE = "table:"
WORDS = (*CORPORA, DEMO, TABLE + "FILE.csv")


@dataclass(frozen=True)
class Corpus:
    """A corpus's clips as listed, and where they came from."""

    name: str
    clips: list[Clip]
    source: str  # "local", or the hub's <id>@<commit>
    folder: Path
    published: int | None = None  # number of clips of the complete corpus, where it is known


def read(word: str, data_dir: str | Path | None = None, source: str | None = None) -> Corpus:
    """The corpus that `--corpora` calls `word`.

    `data_dir` is its folder; `source` is local, hub or `<hub id>[@revision]`. Unless told, IEMOCAP comes
    from the hub if no folder is given, and everything else from `data/`. Raises `InputError` where a corpus
    cannot be had, naming the place to get it and the flag that points to it.
    """
    if word.startswith(TABLE):
        return _read_table(word, data_dir)
    if word != DEMO and word not in CORPORA:
        raise InputError(f"--corpora {word}: choose from {', '.join(WORDS)}")
    source = source or ("hub" if word == "iemocap" and data_dir is None else "local")
    module = CORPORA.get(word, cremad)
    if source != "local":
        return _read_hub(word, module.FOLDER, data_dir, source)
    folder = existing(data_dir) if data_dir else DATA / (DEMO if word == DEMO else module.FOLDER)
    if not folder.is_dir():
        where = "git checkout data/demo" if word == DEMO else f"get it from {module.SOURCE}"
        raise InputError(f"{word}: no folder {shown(folder)}: {where}, or give its folder with --data-dir")
    if word == DEMO:
        return Corpus(DEMO, cremad.clips(folder, DEMO), "local", folder)
    return Corpus(word, module.clips(folder), "local", folder, module.PUBLISHED)


def _read_table(word: str, data_dir: str | Path | None) -> Corpus:
    if data_dir:
        raise InputError(f"--data-dir does not go with {word}: a table's paths count from its own folder")
    file = existing(word.removeprefix(TABLE))
    return Corpus(table.corpus_name(file), table.clips(file), "local", file.parent)


def _read_hub(word: str, folder: str, data_dir: str | Path | None, source: str) -> Corpus:
    if data_dir:
        raise InputError(
            f"--data-dir is the folder of a local copy, but {word} is to come from {source}: drop one of them"
        )
    from speechemb.corpora import hub  # brings pandas, which --help does not wait for

    clips, where, target = hub.read(word, source, DATA / folder / "hub")
    return Corpus(word, clips, where, target)
