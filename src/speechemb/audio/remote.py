"""Audio files in object storage, `s3://bucket/a.wav` and the like, read through fsspec.

Nothing is written under a remote name: a file is copied into one that has no name and disappears when it is closed.
"""

import shutil
import tempfile
from typing import Any, BinaryIO

from speechemb.errors import InputError

PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "abfs": "adlfs"}  # what fsspec needs


def fetched(url: str) -> BinaryIO:
    """A copy of the file, open for reading, with a file number, on this machine's disk.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the storage cannot be read, so that it is unknown whether there is.
    """
    import fsspec

    file: Any = tempfile.TemporaryFile()
    try:
        opened: Any = fsspec.open(url, "rb")
        with opened as source:
            shutil.copyfileobj(source, file, 1 << 20)
    except FileNotFoundError:
        file.close()
        raise
    except ImportError:
        package = PACKAGES[url.partition(":")[0]]
        raise InputError(f"{url}: reading it needs {package}: run `pip install {package}`") from None
    except Exception as error:  # each storage's client raises errors of its own
        why = (str(error).splitlines() or [""])[0]
        raise InputError(
            f"{url} cannot be read ({type(error).__name__}: {why}): check the network and the access rights, and run "
            "the same command again"
        ) from None
    file.seek(0)
    return file
