"""Ogg files: Opus written, and whether a file (Vorbis, Opus, FLAC) is whole.

libsndfile skips damaged pages and ends early without a word.
"""

import io
import struct
import zlib
from typing import BinaryIO

import numpy as np
import soundfile

from speechemb.audio.chunks import Damaged

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_CODECS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
_FIRST, _LAST = 2, 4  # flags of a stream's first and last page


def check(file: BinaryIO) -> None:
    """Walk all pages from the start of the file.

    Raises:
        Damaged: a page is missing, cut or changed, the last page is missing, or the file holds several recordings.
    """
    file.seek(0)
    pages: dict[int, int] = {}  # stream -> number of the page that comes next
    ended, audio = set(), set()
    while head := file.read(27):
        if head[:4] != b"OggS":
            if pages and ended == set(pages) and b"OggS" not in head + file.read():
                return  # a tag after the end
            raise Damaged(_cut(file))
        table = file.read(head[26]) if len(head) == 27 else b""
        body = file.read(sum(table))
        if len(head) < 27 or len(table) < head[26] or len(body) < sum(table):
            raise Damaged("truncated")
        flags, stream, number, crc = head[5], *struct.unpack("<III", head[14:26])
        if crc != _crc(head[:22] + bytes(4) + head[26:] + table + body):
            raise Damaged(f"damaged: page {number} is not as it was written")
        if flags & _FIRST and body.startswith(_CODECS):
            audio.add(stream)
        if len(audio) > 1 or (flags & _FIRST and stream in ended):
            raise Damaged("several recordings in one Ogg file, of which only the first would be read")
        if number != pages.get(stream, number if flags & _FIRST else -1):
            raise Damaged(f"damaged: pages are missing before page {number}")
        pages[stream] = number + 1
        if flags & _LAST:
            ended.add(stream)
    if not audio <= ended:
        raise Damaged("truncated")


def encode(waveform: np.ndarray, rate: int) -> bytes:
    """A mono waveform as Ogg/Opus (about 27 kbit/s at 16 kHz); equal waveforms give equal bytes.

    libsndfile gives every stream a random number, which is replaced here in all pages.
    """
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format="OGG", subtype="OPUS")
    data, pages, start = file.getvalue(), [], 0
    while start < len(data):
        body = start + 27 + data[start + 26]
        end = body + sum(data[start + 27 : body])
        page = data[start : start + 14] + bytes(4) + data[start + 18 : start + 22] + bytes(4) + data[start + 26 : end]
        pages.append(page[:22] + struct.pack("<I", _crc(page)) + page[26:])
        start = end
    return b"".join(pages)


def _cut(file: BinaryIO) -> str:
    """The reason where a page does not begin: damage where more pages follow, else a file cut off in a header."""
    return "damaged: something other than an Ogg page in between" if b"OggS" in file.read() else "truncated"


def _crc(page: bytes) -> int:
    """Ogg's checksum is zlib's with the bits of every byte, and of the result, in reverse order and from zero on."""
    mirrored = zlib.crc32(page.translate(_REVERSED), UNSET) ^ UNSET
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED), "big")


UNSET = 0xFFFF_FFFF
