"""What the scripts share at the command line: parser, lists of words, logging, and errors as exit codes."""

import argparse
import errno
import io
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from speechemb import paths, terminal
from speechemb.errors import InputError

log = logging.getLogger("speechemb")

OUTPUT = (
    *("out", "out_dir", "results_dir", "models_dir", "overwrite", "verbose"),
    *("device", "batch_seconds", "shard", "ray"),
)
# What can be wrong with a disk or a path; other errors of the operating system are bugs.
DISK_ERRORS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EFBIG,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.EMFILE,
    errno.ENOTEMPTY,
    errno.ESTALE,
    errno.ETXTBSY,
}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
IMPORT_NAMES = {
    "scikit-learn": "sklearn",
    "scikit-learn-intelex": "sklearnex",
    "umap-learn": "umap",
    "xgboost-cpu": "xgboost",
}


class _Words(argparse.Action):
    """`--emotions happy sad`, `--emotions happy,sad` and a mixture of both give `["happy", "sad"]`."""

    def __init__(self, *args, known: Iterable[str] = (), **kwargs):
        self.known = tuple(known)
        super().__init__(*args, nargs="+", **kwargs)

    def __call__(self, parser, namespace, values, option_string=None):
        words = [word for value in values or [] for word in str(value).split(",") if word]
        unknown = [word for word in words if self.known and word not in self.known]
        if not words or unknown:
            parser.error(f"argument {option_string}: {' '.join(unknown)} is not one of {', '.join(self.known)}")
        setattr(namespace, self.dest, list(dict.fromkeys(words)))


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring; every flag's help ends with its default."""

    class Formatter(argparse.RawDescriptionHelpFormatter):
        def _get_help_string(self, action):
            # Where there is no fixed default, the help text itself says what happens.
            if action.default in (None, argparse.SUPPRESS, False):
                return action.help
            values = action.default if isinstance(action.default, list) else [action.default]
            shown = " ".join(paths.shown(value) if isinstance(value, Path) else str(value) for value in values)
            return f"{action.help or ''} (default: {shown})".strip()

    return argparse.ArgumentParser(description=doc, formatter_class=Formatter)


def parsed(parser: argparse.ArgumentParser, argv: list[str] | None, script: str) -> argparse.Namespace:
    """The arguments, with `command`: what to type to compute the same again, as artifacts record it.

    Flags at their default, and those that change no content, are left away: a command stands for a content.
    Paths are given as from the root.
    """
    args = parser.parse_args(argv)
    for name, value in vars(args).items():
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, Path) and (url := paths.remote(one)):
                flag = f"--{name.replace('_', '-')}"
                parser.error(f"{flag} {url}: only audio is read from object storage, where a table of step 1 lists it")
    words = [f"src/{Path(script).name}"]
    places = [action.dest for action in parser._actions if not action.option_strings]
    words += [_from_root(one) for name in places for one in getattr(args, name)]
    for name, value in sorted(vars(args).items()):
        if name in (*OUTPUT, *places) or value == parser.get_default(name):
            continue
        flag = f"--{name.replace('_', '-')}"
        values = value if isinstance(value, list) else [] if value is True else [value]
        words += [flag, *(_from_root(one) for one in values)]
    args.command = f"python {shlex.join(words)}"
    return args


def _from_root(value: object) -> str:
    """A value of a flag; a path, also behind `table:`, as it is seen from the root."""
    prefix, colon, rest = str(value).rpartition(":") if str(value).startswith("table:") else ("", "", str(value))
    is_path = isinstance(value, Path) or colon or "/" in rest
    return prefix + colon + (paths.shown(paths.existing(rest)) if is_path and paths.existing(rest).exists() else rest)


def add_words(to: argparse.ArgumentParser, flag: str, default: list[str] | None, help: str, known=(), **kwargs):
    """Add a flag that takes one or several words, separated by spaces or commas, each of `known` if given."""
    to.add_argument(flag, action=_Words, default=default, help=help, known=known, **kwargs)


def add_figures(to: argparse.ArgumentParser) -> None:
    """Add `--figures`."""
    to.add_argument("--figures", choices=("pdf", "svg"), help="write each picture as a vector graphic too")


def positive(text: str) -> int:
    """argparse type: a whole number above zero."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def whole(text: str) -> int:
    """argparse type: a whole number, 0 included."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def shard(text: str) -> tuple[int, int]:
    """argparse type: `3/16`, the third of sixteen parts."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= index <= count:
        raise argparse.ArgumentTypeError(f"{text!r} is not I/N with I from 1 to N, such as 3/16")
    return index, count


def seed(text: str) -> int:
    """argparse type: a seed as numpy and scikit-learn take it, 0 to 2**32 - 1."""
    if not text.isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {2**32 - 1}")
    return int(text)


def fraction(text: str) -> float:
    """argparse type: a number above 0 and up to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and up to 1")
    return value


def seconds(text: str) -> float:
    """argparse type: a length in seconds, from 0.1 up."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.1 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 up")
    return value


def run(main: Callable[[], int | None]) -> int:
    """Run a script's `main` and give its exit code: 1 with one line on stderr for wrong input or a requirement that is
    not installed, 130 for Ctrl-C.

    Any other exception is a bug and keeps its traceback.
    """
    _open_streams()
    logging.basicConfig(format="%(message)s", level=logging.INFO, handlers=[terminal.Handler()])
    for name in ("httpx", "httpx2"):  # huggingface_hub's requests
        logging.getLogger(name).setLevel(logging.WARNING)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII only
    try:
        code = main() or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except Exception as error:
        line = _in_one_line(error)
        if line is None:
            raise
        print("error:", terminal.escaped(line), file=sys.stderr)
        return 1


def _in_one_line(error: Exception) -> str | None:
    """What to tell the user; None for a bug."""
    if isinstance(error, FileNotFoundError) and _no_working_folder():
        return "the working folder was removed: change into one that exists"
    if isinstance(error, InputError):
        return paths.typed_here(" ".join(str(error).split()))
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        where = f"{paths.shown(error.filename)}: " if error.filename else ""
        return f"{where}{error.strerror}: make room, or choose another folder"
    # The name has no dot where a package itself is missing; `sklearn.nothing` is a wrong import of ours.
    if isinstance(error, ModuleNotFoundError) and error.name in requirements():
        return how_to_get(error.name)
    # Libraries that write files themselves raise errors of their own.
    if why := next((text for text in map(os.strerror, FULL) if text in str(error)), ""):
        return f"{why}: make room, or choose another folder"
    # torch and oneDNN raise RuntimeError, a library that cannot be loaded ImportError.
    words = (
        "can't allocate memory",
        os.strerror(errno.ENOMEM),
        "failed to map segment",
        "could not create a primitive",
    )
    if isinstance(error, MemoryError) or any(text in str(error) for text in words):
        return "out of memory: close other programs, or use a machine with more"
    return None


def _no_working_folder() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _open_streams() -> None:
    """Open what the shell closed (`>&-`): the next file to be opened would get its number, and what is printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            while os.open(os.devnull, os.O_RDWR) < number:  # the system gives the lowest free number
                pass
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))


def requirements() -> set[str]:
    """The names under which the packages of requirements.txt are imported."""
    file = paths.ROOT / "requirements.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = [match[0] for line in lines if (match := re.match(r"[\w.-]+", line))]
    return {IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}


def how_to_get(module: str) -> str:
    """One line for a script that was started without `module`: the command to type in the working folder."""
    venv = paths.ROOT / ".venv"
    inside = Path.cwd().is_relative_to(paths.ROOT)

    def typed(path: Path) -> str:
        return shlex.quote(os.path.relpath(path) if inside else str(path))

    again = shlex.join(sys.argv)
    python = typed(venv / "bin" / "python")
    if Path(sys.prefix).resolve() == venv.resolve():
        files = f"-r {typed(paths.ROOT / 'requirements.txt')} -c {typed(paths.ROOT / 'constraints.txt')}"
        return f"{module} is missing from {typed(venv)}: run `{python} -m pip install {files}`"
    missing = f"{module} is not installed in {sys.executable}"
    if not venv.is_dir():
        return f"{missing}: run `bash {typed(paths.ROOT / 'tools' / 'install.sh')}` first, then `{python} {again}`"
    return f"{missing}: run `{python} {again}`, or first `source {typed(venv / 'bin' / 'activate')}`"
