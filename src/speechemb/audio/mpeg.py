"""How much audio an MP3 holds, counted frame by frame.

Without a tag that gives the length, libsndfile guesses it from the first frame's bit rate and the file's size: an
honest guess with a constant bit rate only. It stops there, however much audio follows. So a tag is made for it.
"""

from dataclasses import dataclass
from typing import BinaryIO

from speechemb.audio.chunks import Damaged

# kbit/s by index, for MPEG-1 layers 1 to 3, then for MPEG-2 and 2.5 layer 1, layers 2 and 3
_RATES = {
    (1, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_RATES[2, 3] = _RATES[2, 2]
_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version bits
_SAME = 0xFFFE0C00  # the bits of a header that all frames share: sync, version, layer, sample rate
_SEARCHED = 1 << 16  # bytes in which the next frame may begin after something else
_GAP = 1024  # bytes between two frames that the decoder passes over


@dataclass(frozen=True)
class Layout:
    """What libsndfile should see of an MP3: `head`, then the file from `start` on."""

    head: bytes
    start: int
    samples: int  # a lower limit of what decoding gives


@dataclass(frozen=True)
class _Frame:
    bits: int
    size: int  # bytes
    samples: int
    mono: bool

    @property
    def tag_at(self) -> int:
        """Where a Xing or Info tag begins in a frame of this kind."""
        long = self.bits >> 19 & 3 == 3
        return 4 + ((17 if self.mono else 32) if long else (9 if self.mono else 17))


def after_tags(file: BinaryIO, at: int = 0) -> int:
    """The place behind the ID3v2 tags, with pictures perhaps, that begin at `at`; `at` where there is none."""
    while True:
        file.seek(at)
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            return at
        size = sum((byte & 127) << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
        at += 10 + size + (10 if head[5] & 16 else 0)


def is_mpeg(head: bytes) -> bool:
    """Whether these four bytes begin a frame."""
    return _frame(head) is not None


def layout(file: BinaryIO) -> Layout:
    """Count the frames of the file.

    Raises:
        Damaged: it ends inside a frame, or before the number of frames that its tag gives.
    """
    start = _next(file, after_tags(file), None)
    if start is None:
        return Layout(b"", 0, 0)
    file.seek(start)
    first = _frame(head := file.read(4))
    assert first is not None  # by _next
    body = head + file.read(first.size - 4)
    tag = body[first.tag_at : first.tag_at + 12]
    tagged = tag[:4] in (b"Xing", b"Info") and bool(tag[7:8] and tag[7] & 1)
    begin = start + (first.size if tagged or b"VBRI" in body[36:40] or tag[:4] in (b"Xing", b"Info") else 0)
    frames = _count(file, begin, first)
    promised = int.from_bytes(tag[8:12], "big") if tagged else frames
    if frames < promised - 1:  # some encoders count the frame of the tag
        raise Damaged("truncated")
    least = max(0, (min(frames, promised) - 8) * first.samples)  # encoders' delay and padding are cut off
    if (tagged and frames <= promised + 1) or first.bits >> 17 & 3 != 1:
        return Layout(b"", 0, least)
    return Layout(_made_tag(first, frames), begin, max(0, (frames - 8) * first.samples))


def _frame(head: bytes) -> _Frame | None:
    """The frame that four bytes begin; None where they begin none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    bits = int.from_bytes(head[:4], "big")
    version, layer, index, rate = bits >> 19 & 3, 4 - (bits >> 17 & 3), bits >> 12 & 15, bits >> 10 & 3
    if version == 1 or layer == 4 or index in (0, 15) or rate == 3:
        return None
    per_second = 1000 * _RATES[1 if version == 3 else 2, layer][index]
    hz, padding = _HZ[version][rate], bits >> 9 & 1
    if layer == 1:
        return _Frame(bits, (12 * per_second // hz + padding) * 4, 384, bits >> 6 & 3 == 3)
    samples = 576 if layer == 3 and version != 3 else 1152
    return _Frame(bits, samples // 8 * per_second // hz + padding, samples, bits >> 6 & 3 == 3)


def _next(file: BinaryIO, at: int, like: int | None) -> int | None:
    """Where the next frame begins that another frame, or the end of the file, follows."""
    file.seek(at)
    data = file.read(_SEARCHED)
    i = -1
    while (i := data.find(b"\xff", i + 1)) >= 0:
        frame = _frame(data[i : i + 4])
        if frame is None or (like is not None and (frame.bits ^ like) & _SAME):
            continue
        file.seek(at + i + frame.size)
        behind = file.read(4)
        following = _frame(behind)
        if not behind or (following is not None and not (following.bits ^ frame.bits) & _SAME):
            return at + i
    return None


def _count(file: BinaryIO, at: int, like: _Frame) -> int:
    """The number of whole frames from here on."""
    frames = 0
    file.seek(at)
    while head := file.read(4):
        frame = _frame(head)
        if frame is None or (frame.bits ^ like.bits) & _SAME:
            found = _next(file, at := after_tags(file, at), like.bits)
            if found is None:
                break  # a tag at the end
            if found - at > _GAP:
                raise Damaged("damaged: something other than MP3 frames in between")
            file.seek(at := found)
            continue
        if len(file.read(frame.size - 4)) < frame.size - 4:
            raise Damaged("truncated")
        frames, at = frames + 1, at + frame.size
    return frames


def _made_tag(first: _Frame, frames: int) -> bytes:
    """A frame of silence with the tag that says how many frames follow."""
    bits = first.bits & ~0xF200 | 1 << 16 | 9 << 12  # no CRC, no padding, a rate with room for the tag
    frame = _frame(bits.to_bytes(4, "big"))
    assert frame is not None
    tag = b"Xing" + (1).to_bytes(4, "big") + frames.to_bytes(4, "big")
    return (bits.to_bytes(4, "big") + bytes(frame.tag_at - 4) + tag).ljust(frame.size, b"\0")
