"""The npz format: written and read some rows at a time, hashed on the way, without pickle."""

import hashlib
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from speechemb.artifacts import provenance
from speechemb.artifacts.atomic import atomic
from speechemb.artifacts.storage import ArtifactError
from speechemb.paths import shown

ROWS = 256  # read or written at a time
# What zipfile, numpy and json raise where a file is damaged: encrypted or unknown members, odd headers, no end.
FOREIGN = (
    *(ValueError, OSError, EOFError, AttributeError, KeyError, TypeError, OverflowError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


def is_intact(path: Path, meta: dict[str, Any]) -> bool:
    """Whether every array has the hash that `meta` says; the arrays are never in memory as a whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name != "meta.npy"]
        if sorted(names) != sorted(meta["arrays"]):
            return False
        for name in names:
            with opened(path, name, remedy="") as (shape, dtype, blocks):
                hashed = started_hash(dtype, shape)
                for block in blocks:
                    hashed.update(block.tobytes())
            if hashed.hexdigest() != meta["arrays"][name]:
                return False
    except (ArtifactError, *FOREIGN):
        return False
    return True


def write(path: Path, arrays: dict[str, np.ndarray], meta: dict[str, Any]) -> None:
    """Write the arrays and `meta` with their hashes; the same content gives the same bytes."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        hashes = {name: _add(archive, name, array) for name, array in arrays.items()}
        _add(archive, "meta", np.array(provenance.canonical_json(provenance.seal({**meta, "arrays": hashes}))))


def _add(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> str:
    """Add one `.npy` member, as `numpy.savez` would but with a fixed date, and return its hash."""
    hashed = started_hash(array.dtype, array.shape)
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
        np.lib.format.write_array_header_2_0(member, header)
        for block in _blocks(array):
            member.write(block)
            hashed.update(block)
    return hashed.hexdigest()


def started_hash(dtype: np.dtype, shape: tuple[int, ...]) -> "hashlib._Hash":
    """A SHA-256 over dtype and shape, to be updated with the data in C order."""
    return hashlib.sha256(f"{dtype.str}{shape}".encode())


def hash_of(array: np.ndarray) -> str:
    """The hash of an array, as `meta` holds it under `arrays`."""
    hashed = started_hash(array.dtype, array.shape)
    for block in _blocks(array):
        hashed.update(block)
    return hashed.hexdigest()


def _blocks(array: np.ndarray) -> Iterable[bytes]:
    """The bytes of an array, some rows at a time."""
    if array.ndim == 0:
        yield array.tobytes()
        return
    for start in range(0, len(array), ROWS):
        yield np.ascontiguousarray(array[start : start + ROWS]).tobytes()


def load(path: Path, keys: Iterable[str], remedy: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The named arrays, and `meta` parsed.

    Raises:
        ArtifactError: there is no such file, it is no npz, or an array is missing or holds Python objects.
    """
    if not path.is_file():
        raise ArtifactError(f"{shown(path)} is missing: {remedy}")
    with _readable(path, remedy), zipfile.ZipFile(path) as archive:
        _check_holds(path, archive, [*keys, "meta"], remedy)
        arrays = {key: _whole(archive, key, path) for key in keys}
        return arrays, json.loads(str(_whole(archive, "meta", path)[()]))


def _whole(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        _header(member, name, path.stat().st_size)
    with archive.open(f"{name}.npy") as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def array_of(content: bytes) -> np.ndarray:
    """The array of a `.npy` file of any origin, in C or Fortran order, from its bytes.

    Raises:
        one of FOREIGN: they are no such file, or hold Python objects.
    """
    stream = io.BytesIO(content)
    _header(stream, "the array", len(content), any_order=True)
    stream.seek(0)
    return np.lib.format.read_array(stream, allow_pickle=False)


def _header(member: IO[bytes], name: str, size: int, any_order: bool = False) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of a member. Sizes are not trusted: an array is no larger than the file's `size`, and no item is
    empty."""
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(member)
    if version not in headers:
        raise ValueError(f"npy version {version}")
    shape, fortran_order, dtype = headers[version](member)
    elements = int(np.prod(shape, dtype=object))
    if (fortran_order and not any_order) or dtype.hasobject or max(1, dtype.itemsize) * elements > size:
        raise ValueError(f"{name} is {dtype} {shape}")
    return shape, dtype


@contextmanager
def opened(path: Path, name: str, remedy: str) -> Iterator[tuple[tuple[int, ...], np.dtype, Iterator[np.ndarray]]]:
    """Shape, dtype and blocks of rows of one array of numbers, which is never in memory as a whole.

    Raises:
        ArtifactError: the array is missing, not in C order, or larger than the file (sizes are not trusted).
    """
    with _readable(path, remedy), zipfile.ZipFile(path) as archive:
        _check_holds(path, archive, [name], remedy)
        with archive.open(f"{name}.npy") as member:
            shape, dtype = _header(member, name, path.stat().st_size)
            if not shape:
                raise ValueError(f"{name} is a scalar")
            yield shape, dtype, _rows(member, shape, dtype)


def mapped(path: Path, name: str, least: int, remedy: str) -> np.ndarray | None:
    """An array in the file itself, read-only, where it takes at least this many bytes and is stored uncompressed.

    What replaces the file does not change it, as files are replaced by others, not overwritten.

    Raises:
        ArtifactError: as `opened`.
    """
    with _readable(path, remedy), zipfile.ZipFile(path) as archive:
        _check_holds(path, archive, [name], remedy)
        info = archive.getinfo(f"{name}.npy")
        if info.file_size < least or info.compress_type != zipfile.ZIP_STORED:
            return None
        with archive.open(info) as member, open(path, "rb") as file:
            shape, dtype = _header(member, name, path.stat().st_size)
            file.seek(info.header_offset + 26)
            before = 30 + sum(struct.unpack("<HH", file.read(4)))  # the member's own header, its name and extra field
            start = info.header_offset + before + member.tell()
        return np.memmap(path, dtype, "r", start, shape) if start % dtype.itemsize == 0 else None


def _rows(member, shape: tuple[int, ...], dtype: np.dtype) -> Iterator[np.ndarray]:
    of_one = dtype.itemsize * int(np.prod(shape[1:]))
    for start in range(0, shape[0], ROWS):
        count = min(ROWS, shape[0] - start)
        data = member.read(of_one * count)
        if len(data) < of_one * count:
            raise EOFError(f"fewer than {start + count} of {shape[0]} rows")
        yield np.frombuffer(data, dtype).reshape(count, *shape[1:])


def _check_holds(path: Path, archive: zipfile.ZipFile, wanted: Iterable[str], remedy: str) -> None:
    if missing := [name for name in wanted if f"{name}.npy" not in archive.namelist()]:
        raise ArtifactError(f"{shown(path)} lacks {', '.join(missing)}, so it is not a file of this step: {remedy}")


@contextmanager
def _readable(path: Path, remedy: str) -> Iterator[None]:
    """Turn the errors of reading a damaged or foreign file into an ArtifactError."""
    try:
        yield
    except FOREIGN as error:
        what = f"{type(error).__name__}: {error}"
        raise ArtifactError(f"{shown(path)} cannot be read as npz ({what}): {remedy}") from None
