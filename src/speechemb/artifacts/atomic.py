"""Files that appear whole or not at all: temporaries, renames in order, and what killed runs left behind.

A temporary is called `.<name>.<random>.tmp`, lies in the folder of the file it becomes, and is locked while its process
lives. So a temporary that can be locked belongs to a process that was killed, and is removed.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from speechemb.artifacts.provenance import sha256_file
from speechemb.errors import InputError
from speechemb.paths import shown

try:
    import fcntl
except ImportError:  # Windows: nothing is locked, and nothing is swept
    fcntl = None

SUFFIX = ".tmp"


class Together:
    """Files that are all written before the first of them appears; see `together`."""

    def __init__(self) -> None:
        self._locks: list[int] = []
        self._moves: list[tuple[Path, Path]] = []
        self._removals: list[Path] = []

    def temporary(self, path: Path) -> Path:
        """Where to write what becomes `path`; its folder is made if need be."""
        make_folder(path.parent)
        sweep(path.parent)
        while True:
            lock, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=SUFFIX, dir=path.parent)
            # Another process may have swept it between the two calls.
            if _locked(lock) is not False and os.path.exists(name):
                break
            os.close(lock)
        self._locks.append(lock)
        self._moves.append((Path(name), path))
        return Path(name)

    def hashes(self, folder: Path) -> dict[str, str]:
        """Name -> SHA-256 of what has been written for a folder so far."""
        return {path.name: sha256_file(temporary) for temporary, path in self._moves if path.parent == folder}

    def remove(self, path: Path) -> None:
        """Remove a file, or an empty folder, before the first file appears: what vouches for the older files."""
        self._removals.append(path)

    def commit(self) -> None:
        """The removals, then the renames in the order of the calls of `temporary`."""
        for path in self._removals:
            if path.is_dir() and not path.is_symlink():
                with suppress(OSError):  # it holds something else
                    path.rmdir()
            else:
                path.unlink(missing_ok=True)
        for temporary, path in self._moves:
            os.chmod(temporary, 0o644)  # mkstemp makes it private
            os.replace(temporary, path)

    def close(self) -> None:
        """Remove what was not renamed."""
        for temporary, _ in self._moves:
            temporary.unlink(missing_ok=True)
        for lock in self._locks:
            os.close(lock)


@contextmanager
def together() -> Iterator[Together]:
    """Files that appear when the block ends well, in the order in which they were begun, and else not at all."""
    files = Together()
    try:
        yield files
        files.commit()
    finally:
        files.close()


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block ends well, and else disappears."""
    with together() as files:
        yield files.temporary(path)


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Keep other processes from `path` during the block; False where another process does so.

    The lock is a temporary with a fixed name: it is removed at the end, or swept if the process was killed.
    """
    make_folder(path.parent)
    lock = path.with_name(f".{path.name[:100]}.lock{SUFFIX}")
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        mine = _locked(file) is not False
        # Whoever held it, or swept it, may have removed it between the two calls.
        if not mine or _is_open_file(lock, file):
            break
        os.close(file)
    try:
        yield mine
    finally:
        if mine:
            lock.unlink(missing_ok=True)
        os.close(file)


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Keep other processes from writing the same `out` during the block.

    Raises:
        InputError: another process writes it.
    """
    with held(out) as mine:
        if not mine:
            raise InputError(f"another run is writing {shown(out)}: wait for it, or give another --out")
        yield


def _is_open_file(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _locked(file: int) -> bool | None:
    """Lock an open file for as long as it is open; False: another process holds the lock, None: there are no locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True


def sweep(folder: Path) -> None:
    """Remove the temporaries of killed processes from a folder."""
    for path in folder.glob(f".*{SUFFIX}"):
        with suppress(OSError):  # it became a file, or is gone, in this moment
            file = os.open(path, os.O_RDONLY)
            try:
                if _locked(file):
                    remove(path)
            finally:
                os.close(file)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        OSError: there is a file of this name, or the disk does not allow it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)) from None


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that it holds."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Remove a folder that counts only as a whole.

    It is renamed first: a kill in between leaves none of it under its name. Another process may sweep it meanwhile.
    """
    trash = folder.with_name(f".{folder.name}{SUFFIX}")
    _remove_with_others(trash)
    if os.path.lexists(folder):
        os.rename(folder, trash)
        _remove_with_others(trash)


def _remove_with_others(path: Path) -> None:
    while os.path.lexists(path):
        with suppress(FileNotFoundError):
            remove(path)


def check_writable(folder: Path) -> None:
    """Write a byte where `folder` is or will be made, and remove it: what cannot be written is said before computing.

    Raises:
        OSError: the disk is full, the folder is read-only, or the path leads through a file.
    """
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    files = Together()
    try:
        files.temporary(folder / "probe").write_bytes(b"0")
    finally:
        files.close()
