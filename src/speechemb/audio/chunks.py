"""How much audio the header of a WAV, RF64, W64, AIFF, 8SVX, CAF or AU file announces, and how much there is.

libsndfile shortens what is announced to what is there, and says so in a log only.
"""

import os
import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

UNKNOWN = 0xFFFF_FFFF  # the size that says: until the end of the file
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_SLACK = 1 << 16


class Damaged(Exception):
    """A file is not whole; the message is the reason."""


@dataclass(frozen=True)
class Chunk:
    """The audio of a file: where its size is written and in how many bytes, the size, and where it begins."""

    field: int
    width: int
    order: str
    announced: int
    start: int


def header(file: BinaryIO) -> tuple[bytes, int]:
    """What libsndfile should see in place of the first n bytes, and n; (b"", 0) where nothing is to change.

    Raises:
        Damaged: the file ends before the audio that its header announces, or holds much more than that.
    """
    size = os.fstat(file.fileno()).st_size
    if size < _nist(file):
        raise Damaged("truncated")
    chunk = find(file, size)
    if chunk is None:
        return b"", 0
    there = size - chunk.start
    if chunk.announced == there or _is_tail(file, chunk, size):
        return b"", 0
    if not _placeholder(chunk, there):
        if chunk.announced > there:
            raise Damaged("truncated")
        if there - chunk.announced > max(_SLACK, chunk.announced // 10):
            raise Damaged("damaged: the header announces less audio than there is")
        return b"", 0
    return _mended(file, chunk, there), chunk.field + chunk.width


def _mended(file: BinaryIO, chunk: Chunk, there: int) -> bytes:
    """The file up to the size of its audio, which is put right."""
    file.seek(0)
    head = file.read(chunk.field)
    size = there + 24 if head.startswith(_W64) else there
    if size < 256**chunk.width:
        return head + size.to_bytes(chunk.width, "little" if chunk.order == "<" else "big")
    if not head.startswith(b"RIFF"):
        raise Damaged("too large for its format")
    # As RF64, a WAV whose sizes have eight bytes, in a chunk of their own.
    unknown = UNKNOWN.to_bytes(4, "little")
    sizes = struct.pack("<4sIQQQI", b"ds64", 28, there + chunk.start + 28, there, 0, 0)
    return b"RF64" + unknown + head[8:12] + sizes + head[12:] + unknown


def find(file: BinaryIO, size: int) -> Chunk | None:
    """The chunk with the audio; None for other formats, and where there is none."""
    file.seek(0)
    head = file.read(16)
    form = head[:4]
    if form in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return _walk(file, size, 12, (4, 4, ">" if form == b"RIFX" else "<", 2), (b"data",))
    if form == b"FORM":
        return _walk(file, size, 12, (4, 4, ">", 2), (b"SSND", b"BODY"))
    if head == _W64:
        return _walk(file, size, 40, (16, 8, "<", 8), (b"data",))
    if form == b"caff":
        return _walk(file, size, 8, (4, 8, ">", 1), (b"data",))
    if form in (b".snd", b"dns."):
        order = ">" if form == b".snd" else "<"
        start, announced = struct.unpack(order + "II", head[4:12].ljust(8, b"\0"))
        return Chunk(8, 4, order, announced, start) if 24 <= start <= size else None
    return None


def _walk(file: BinaryIO, size: int, at: int, layout: tuple, names: tuple) -> Chunk | None:
    """The first chunk of one of these names. `layout`: bytes of name and size, byte order, alignment."""
    n_name, n_size, order, align = layout
    inclusive = n_name + n_size if align == 8 else 0  # W64 counts a chunk's own header
    long = None
    while at + n_name + n_size <= size:
        file.seek(at)
        head = file.read(n_name + n_size)
        name = head[:4]
        (announced,) = struct.unpack(order + ("I" if n_size == 4 else "Q"), head[n_name:])
        announced = max(0, announced - inclusive)
        start = at + n_name + n_size
        if name in names:
            if long is not None and announced == UNKNOWN:  # RF64: the size is in the chunk ds64
                return Chunk(long[0], 8, order, long[1], start)
            return Chunk(at + n_name, n_size, order, announced, start)
        if name == b"ds64":
            long = start + 8, struct.unpack("<Q", file.read(16)[8:].ljust(8, b"\0"))[0]
        at = start + announced
        at += -at % align
    return None


def _is_tail(file: BinaryIO, chunk: Chunk, size: int) -> bool:
    """Whether further chunks, or nothing of weight, follow the audio announced, up to the end of the file."""
    at = chunk.start + chunk.announced
    if chunk.announced == 0 and size - at < 8:
        return size == at
    if at > size:
        return False
    if chunk.width == 8 or chunk.field == 8:
        return chunk.announced > 0
    at += at % 2
    seen = 0
    while at + 8 <= size:
        file.seek(at)
        name, announced = struct.unpack(chunk.order + "4sI", file.read(8))
        if not name.isascii() or not name.decode().isprintable():
            return False
        seen, at = seen + 1, at + 8 + announced + announced % 2
    return seen > 0 and size - 1 <= at <= size + 1


def _placeholder(chunk: Chunk, there: int) -> bool:
    """Whether the size was never filled in, as by programs that write into a pipe or are killed, or has wrapped."""
    if chunk.announced == 0:
        return there > 0
    if chunk.width == 8:
        return chunk.announced >= 1 << 62
    near = any(top - _SLACK <= chunk.announced <= top for top in (1 << 31, UNKNOWN))
    return near or (there > UNKNOWN and (there - chunk.announced) % (UNKNOWN + 1) < _SLACK)


def _nist(file: BinaryIO) -> int:
    """The size that a NIST SPHERE file has to have, which its header gives in words; 0 for other formats."""
    file.seek(0)
    if not (head := file.read(1024)).startswith(b"NIST_1A"):
        return 0
    fields = {name: int(value) for name, value in re.findall(rb"^(\w+) -i (\d{1,15})\s*$", head, re.MULTILINE)}
    samples = fields.get(b"sample_count", 0) * fields.get(b"channel_count", 1)
    return 1024 + samples * fields.get(b"sample_n_bytes", 1)
