"""Step 1: one module per corpus, whose docstring is the corpus card; `read` gives the clips of any of them.

A corpus module lists clips without opening their audio. It has `clips(folder)`, FOLDER (the folder's name below
`data/`), PUBLISHED (how many clips the complete corpus has) and SOURCE (where to get it). Importing this package
loads the standard library only, so that a script's `--help` answers at once.
"""

from dataclasses import dataclass
from pathlib import Path

from speechemb.corpora import cremad, databases, emodb, iemocap, ravdess, table
from speechemb.corpora.clip import Clip
from speechemb.errors import InputError
from speechemb.paths import DATA, existing, shown

CORPORA = {"iemocap": iemocap, "cremad": cremad, "ravdess": ravdess, "emodb": emodb}
DEMO = "demo"  # the bundled synthetic corpus in data/demo, named like CREMA-D, actors 9001 and up
TABLE = "table:"
DIALOGUES = "dialogues"  # of --iemocap-source: the local release, its dialogues cut by its own times
WORDS = (*CORPORA, DEMO, TABLE + "FILE.csv", databases.WORD + "FOLDER")


@dataclass(frozen=True)
class Corpus:
    """The clips that a corpus lists, and where they came from."""

    name: str
    clips: list[Clip]
    source: str  # "local", or the hub's <id>@<commit>
    folder: Path
    published: int | None = None  # number of clips of the complete corpus, where it is known
    remedy: str = ""  # what to check where no clip can be used, if not the flag of its folder or source


def read(word: str, data_dir: str | Path | None = None, source: str | None = None, ties: bool = False) -> Corpus:
    """The corpus that `--corpora` calls `word`.

    `data_dir` is its folder; `source` is local, hub or `<hub id>[@revision]`. Where neither is given, a corpus comes
    from its folder in `data/`, and IEMOCAP and CREMA-D from the hub where that folder holds none of it.

    `ties` keeps the clips of a table of raters' votes on which they tie.

    Raises:
        InputError: the corpus is not there; the message says where to get it and which flag takes its folder.
    """
    if word.startswith(TABLE):
        return _read_table(word, data_dir, ties)
    if word.startswith(databases.WORD):
        return _read_database(word, data_dir)
    check_word(word)
    module = CORPORA.get(word, cremad)
    source = source or _nearest(word, data_dir)
    dialogues = word == "iemocap" and source == DIALOGUES
    if source != "local" and not dialogues:
        return _read_hub(word, module.FOLDER, data_dir, source)
    folder = existing(data_dir) if data_dir else DATA / (DEMO if word == DEMO else module.FOLDER)
    if not folder.is_dir():
        where = "git checkout data/demo" if word == DEMO else f"get it from {module.SOURCE}"
        raise InputError(f"{word}: no folder {shown(folder)}: {where}, or give its folder with --data-dir")
    if word == DEMO:
        return Corpus(DEMO, cremad.clips(folder, DEMO), "local", folder)
    if dialogues:
        return Corpus(word, iemocap.clips(folder, dialogues=True), source, folder, module.PUBLISHED)
    return Corpus(word, module.clips(folder), "local", folder, module.PUBLISHED)


def check_word(word: str) -> None:
    """Raise where no corpus is called this."""
    if word not in (DEMO, *CORPORA) and not word.startswith((TABLE, databases.WORD)):
        raise InputError(f"--corpora {word}: choose from {', '.join(WORDS)}")


def _nearest(word: str, data_dir: str | Path | None) -> str:
    """Local, or hub for the corpora that it has, where nothing of them is in `data/`."""
    module = CORPORA.get(word)
    if data_dir or module not in (iemocap, cremad):
        return "local"
    return "local" if module.is_in(DATA / module.FOLDER) else "hub"


def _read_table(word: str, data_dir: str | Path | None, ties: bool) -> Corpus:
    if data_dir:
        raise InputError(f"--data-dir does not go with {word}: paths in a table are relative to its own folder")
    file = existing(word.removeprefix(TABLE))
    found, source = table.clips(file, ties), "local, ties kept" if ties else "local"
    return Corpus(table.corpus_name(file), found, source, file.parent, remedy=f"column path of {shown(file)}")


def _read_database(word: str, data_dir: str | Path | None) -> Corpus:
    if data_dir:
        raise InputError(f"--data-dir does not go with {word}: the database's folder is in the word itself")
    name, one = databases.folder_and_table(word)
    folder = existing(name)
    found = databases.clips(folder, one)
    return Corpus(table.corpus_name(folder), found, "local", folder, remedy=f"the files that {shown(folder)} lists")


def _read_hub(word: str, folder: str, data_dir: str | Path | None, source: str) -> Corpus:
    if data_dir:
        raise InputError(
            f"--data-dir is the folder of a local copy, but {word} is read from {source}: drop one of them"
        )
    from speechemb.corpora import hub  # loads pandas, which --help should not wait for

    clips, where, target = hub.read(word, source, DATA / folder / "hub")
    return Corpus(word, clips, where, target)
