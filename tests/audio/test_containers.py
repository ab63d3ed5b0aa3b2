"""Files of every format: whole ones are read to the last sample, damaged ones are refused."""

import io
import os
import socket
import struct
from collections import Counter

import numpy as np
import pytest
import soundfile

from speechemb.audio import chunks, decoding, files, mpeg

RATE = 16_000
# Format and subtype, None for the usual one.
WRITTEN = [
    *[(name, None) for name in ("WAV", "WAVEX", "W64", "RF64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3", "NIST")],
    ("OGG", "OPUS"),
    ("CAF", "ALAC_16"),
    ("WAV", "FLOAT"),
]


def made(kind: str, subtype: str | None = None, seconds: float = 2.0, **more) -> bytes:
    """Noise of this length, and one sample, in this format."""
    buffer = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 0.1, int(RATE * seconds) + 1)
    soundfile.write(buffer, samples, RATE, format=kind, subtype=subtype, **more)
    return buffer.getvalue()


def outcome(path, data: bytes):
    """The number of samples that are read, or the reason why none is."""
    path.write_bytes(data)
    try:
        return len(decoding.read(path)[0])
    except decoding.AudioError as error:
        return error.reason


@pytest.mark.parametrize(("kind", "subtype"), WRITTEN)
def test_whole_files_are_read_whole_and_cut_ones_refused(tmp_path, kind, subtype):
    data = made(kind, subtype)
    assert outcome(tmp_path / "a", data) == 2 * RATE + 1
    for part in (0.1, 0.5, 0.9, 0.99):
        reason = outcome(tmp_path / "a", data[: int(len(data) * part)])
        assert "truncated" in str(reason), (part, reason)


@pytest.mark.parametrize("kind", ["WAV", "W64", "RF64", "AIFF", "AU", "CAF"])
def test_an_unfinished_header_does_not_hide_the_audio(tmp_path, kind):
    data = made(kind)
    (tmp_path / "a").write_bytes(data)
    with open(tmp_path / "a", "rb") as file:
        chunk = chunks.find(file, len(data))
    for size in (0, 256**chunk.width - 1):
        unfinished = bytearray(data)
        order = "little" if chunk.order == "<" else "big"
        unfinished[chunk.field : chunk.field + chunk.width] = size.to_bytes(chunk.width, order)
        assert outcome(tmp_path / "a", bytes(unfinished)) == 2 * RATE + 1


def wav_header(size: int) -> bytes:
    parts = (b"RIFF", 0xFFFF_FFFF, b"WAVE", b"fmt ", 16, 1, 1, 48_000, 96_000, 2, 16, b"data", size)
    return struct.pack("<4sI4s4sIHHIIHH4sI", *parts)


@pytest.mark.parametrize("size", [5 * 10**9 % 2**32, 0xFFFF_FFFF, 0x7FFF_F000, 0])
def test_a_wav_longer_than_its_header_can_say_is_read_to_the_end(tmp_path, size):
    with open(tmp_path / "a.wav", "wb") as file:
        file.write(wav_header(size))
        file.truncate(44 + 5 * 10**9)  # takes no space on the disk
    with open(tmp_path / "a.wav", "rb") as file:
        head, start = chunks.header(file)
    with soundfile.SoundFile(io.BytesIO(head + bytes(100))) as sound:
        assert sound.format == "RF64"
    assert start == 44 and struct.unpack("<Q", head[28:36]) == (5 * 10**9,)


def test_an_empty_wav_with_a_list_behind_it_is_empty_and_a_tag_behind_audio_is_no_audio(tmp_path):
    tag = b"LIST\x04\0\0\0abcd"
    assert outcome(tmp_path / "a", wav_header(0) + tag) == 0
    assert outcome(tmp_path / "a", made("WAV") + tag) == 2 * RATE + 1


def test_a_header_that_announces_a_part_of_the_audio_is_refused(tmp_path):
    data = bytearray(made("WAV", seconds=10))
    data[40:44] = (RATE * 2).to_bytes(4, "little")
    assert "less audio than there is" in outcome(tmp_path / "a", bytes(data))


def without_tag(data: bytes) -> bytes:
    """An MP3 without the first frame, which holds the length."""
    return data[mpeg._frame(data[:4]).size :]


@pytest.mark.slow
@pytest.mark.parametrize("loud_first", [True, False])
@pytest.mark.parametrize("mode", ["VARIABLE", "AVERAGE", "CONSTANT"])
def test_an_mp3_without_a_length_is_read_to_the_end(tmp_path, loud_first, mode):
    """libsndfile alone gives 26 to 64 % of those with a variable rate."""
    parts = [np.random.default_rng(0).normal(0, 0.2, RATE * 10), 1e-3 * np.sin(np.arange(RATE * 10) / 5)]
    buffer = io.BytesIO()
    samples = np.concatenate(parts if loud_first else parts[::-1])
    soundfile.write(buffer, samples, RATE, format="MP3", bitrate_mode=mode, compression_level=0.5)
    data = without_tag(buffer.getvalue())
    assert outcome(tmp_path / "a", data) == pytest.approx(len(samples), abs=2 * 1152)
    picture = b"ID3\x03\0\0\x00\x01\x00\x00" + bytes(1 << 14)  # 7 bits a byte
    assert outcome(tmp_path / "a", picture + data) == pytest.approx(len(samples), abs=2 * 1152)
    assert outcome(tmp_path / "a", data + data) == pytest.approx(2 * len(samples), abs=4 * 1152)
    assert outcome(tmp_path / "a", data[:-1]) == "truncated"
    assert "damaged" in outcome(tmp_path / "a", data[:3000] + bytes(3000) + data[6000:])


def pages_of(data: bytes) -> list[bytes]:
    return [b"OggS" + rest for rest in data.split(b"OggS")[1:]]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_file_with_a_fault_is_refused(tmp_path, subtype):
    data = made("OGG", subtype, seconds=10)
    pages = pages_of(data)
    assert len(pages) > 4 and outcome(tmp_path / "a", data + bytes(100)) == 10 * RATE + 1
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    assert "damaged: page" in outcome(tmp_path / "a", bytes(changed))
    assert "pages are missing" in outcome(tmp_path / "a", b"".join(pages[:-2] + pages[-1:]))
    assert outcome(tmp_path / "a", b"".join(pages[:-1])) == "truncated"
    assert "several recordings" in outcome(tmp_path / "a", data + data)
    assert "in between" in outcome(tmp_path / "a", b"".join([*pages[:3], bytes(10), *pages[3:]]))


def test_a_damaged_aiff_prints_nothing(tmp_path, capfd):
    data = bytearray(made("AIFF"))
    for at in range(4, 60):
        data[at] = 0xFF
        outcome(tmp_path / "a", bytes(data))
    assert capfd.readouterr() == ("", "")


def test_only_regular_files_are_opened(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # a socket's name is short
        server.bind("socket.wav")
    reasons = {}
    for path in files.audio_files(tmp_path):
        assert not files.is_lfs_pointer(path)
        with pytest.raises(decoding.AudioError) as raised:
            decoding.load(path)
        reasons[path.stem] = raised.value.reason
    assert {name: reason.partition("(")[2] for name, reason in reasons.items()} == {
        "pipe": "a pipe, not a file)",
        "zero": "a device, not a file)",
        "folder": "a folder, not a file)",
        "socket": "a socket, not a file)",
        "loop": "Too many levels of symbolic links)",
    }


def test_every_format_that_libsndfile_reads_is_found_by_its_suffix():
    left = set(soundfile.available_formats()) - set(files.FORMATS) - {"WAVEX"}
    assert left == {"RAW", "SD2", "MAT4", "MAT5", "HTK"}
    assert set(files.FORMATS) <= set(soundfile.available_formats())


def test_other_files_of_a_folder_are_counted(tmp_path):
    for name in ("a.opus", "b.W64", "c.m4a", "d.m4a", "notes.txt", "._a.opus", ".hidden", "README"):
        (tmp_path / name).touch()
    found, others = files.search(tmp_path)
    assert [path.name for path in found] == ["a.opus", "b.W64"]
    assert others == Counter({".m4a": 2, ".txt": 1, "without suffix": 1})
    assert files.passed_over(others) == "4 files of other kinds passed over: .m4a 2, .txt 1, without suffix 1"
