"""Numba's cache of compiled functions, for librosa and UMAP, kept whole when several processes fill it at once."""

import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nothing is locked
    fcntl = None


_sharing = threading.Lock()


def share_cache() -> None:
    """Let one process of this user at a time compile with Numba; call it before librosa or UMAP is imported.

    Numba (0.68) keeps a function and the wrapper that calls it by name as two entries of its cache, and locks them
    against other threads only. Of two processes that compile the same functions, as in two first runs after an
    installation, one can leave the function and the other the wrapper. From then on every run calls a name that is not
    there, and ends in a segmentation fault. Here the lock that Numba holds while it looks into the cache, compiles and
    saves also keeps other processes out.
    """
    with _sharing:  # `cache` alone lets two first calls in at once: the second would wait for the lock of the first
        _share()


@cache
def _share() -> None:
    folder = _folder()
    if fcntl is None or folder is None:
        return
    from numba.core.compiler_lock import global_compiler_lock as lock

    acquire, release = lock.acquire, lock.release
    files: list[int | None] = []  # Numba takes its lock again inside itself: only the first counts

    def acquire_both() -> None:
        acquire()
        files.append(None if files else _locked(folder / ".compiling.lock"))

    def release_both() -> None:
        file = files.pop()
        if file is not None:
            os.close(file)
        release()

    lock.acquire, lock.release = acquire_both, release_both


def _folder() -> Path | None:
    """A folder that this user's processes share; as Numba does, beside the code or else in the home."""
    import numba

    beside = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(numba.__file__).parent)
    return next((folder for folder in (beside, Path.home()) if os.access(folder, os.W_OK)), None)


def _locked(path: Path) -> int | None:
    """A file, open and locked, once no other process has it locked; None where the disk has no locks."""
    assert fcntl is not None
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX)
    return file
