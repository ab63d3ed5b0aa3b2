"""The campaign of damage: damaged and hostile files, each given to the step that reads it.

A case changes one file of a good folder and runs one step. It ends right where the step says in one line what is wrong,
or where its result is that of the good folder. A file that was sealed again carries the right hash: there, every value
that the schema forbids has to be found.
"""

import io
import json
import os
import random
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import harness
import kills

Do = Callable[[Path], None]
Check = Callable[[Path, harness.Result, "Good"], str]

FORMATS = {
    "wav": ("PCM_16", "wav"),
    "float.wav": ("FLOAT", "wav"),
    "flac": (None, "flac"),
    "aiff": ("PCM_16", "aiff"),
    "ogg": ("VORBIS", "ogg"),
    "mp3": (None, "mp3"),
    "au": ("PCM_16", "au"),
}
WRONG = (None, "../../x", -1, 1.5, 1e308, 10**30, True, "a\nb", "", [], {}, [[]], ["a", "a"], "x" * 100_000)
AUDIO: kills.Command = ("1", "--corpora", "table:a.csv", "--out-dir", "q", "--emotions", "all")
TWO: kills.Command = ("2", "--metadata", "p/toy.csv", "--model", "acoustic", "--out", "n.npz")
ENCODE: kills.Command = ("2", "--metadata", "p/toy.csv", "--model", "tiny", "--out", "n.npz", "--limit", "4")
SVM: kills.Command = (*kills.THREE[:3], "--results-dir", "r9", "--models-dir", "m9", "--npz-path", "e.npz")
SVM = (*SVM, "--classifier", "svm")
FOUR: kills.Command = ("4", "--results-dir", "r")
NAME = "acoustic-toy-4emo-mean-{}-speaker2"


@dataclass
class Damage:
    """One case: what is done to the folder, the command, and what its success is checked for."""

    family: str
    name: str
    change: Do
    command: kills.Command
    check: Check


@dataclass
class Good:
    """What the undamaged folder gives."""

    numbers: dict[str, object]


def predict(name: str) -> kills.Command:
    return ("predict", "--model", f"m/{NAME.format(name)}", "toy", "--out", "x.csv")


# What a step computed, without what may differ in a stamp.


def numbers_of(folder: Path, command: kills.Command) -> object:
    """The figures that a command wrote, in a form that can be compared."""
    import numpy as np
    import pandas as pd

    if command[0] == "2":
        with np.load(folder / "n.npz") as file:
            return [file["clip_ids"].tolist(), file["labels"].tolist(), file["embeddings"].tobytes().hex()]
    if command[0] == "3":
        return [path.read_text() for path in sorted((folder / "r9").glob("predictions_*.csv"))]
    if command[0] == "4":
        table = pd.read_csv(folder / "r" / "comparison.csv")
        columns = [name for name in table.columns if name.startswith(("uar", "accuracy", "macro", "clips"))]
        return table[columns].to_dict("list").__repr__()
    if command[0] == "5":
        return pd.read_csv(folder / "r9" / "umap_emotion.csv")[["x", "y", "emotion"]].to_csv()
    return (folder / "x.csv").read_text()


def same(folder: Path, result: harness.Result, good: Good, command: kills.Command) -> str:
    """Empty where the result is that of the good folder."""
    return "" if numbers_of(folder, command) == good.numbers[" ".join(command)] else "another result"


def finite(folder: Path, result: harness.Result, good: Good, command: kills.Command) -> str:
    """Empty where the result is made of numbers: values were changed within what a file may hold."""
    import numpy as np

    if command[0] == "2":
        with np.load(folder / "n.npz") as file:
            return "" if np.isfinite(file["embeddings"]).all() else "embeddings that are not finite"
    text = numbers_of(folder, command)
    return "not finite" if "nan" in str(text) or "inf" in str(text) else ""


def refused(folder: Path, result: harness.Result, good: Good, command: kills.Command) -> str:
    """What is forbidden was taken."""
    return "accepted"


def all_audio(folder: Path, result: harness.Result, good: Good, command: kills.Command) -> str:
    """Empty where the damaged clip was excluded, or is listed with as many frames as the good one."""
    import pandas as pd

    table = pd.read_csv(folder / "q" / "a.csv")
    rows = table[table.clip_id.str.startswith("a/bad")]
    excluded = pd.read_csv(folder / "q" / "a_excluded.csv")
    if rows.empty:
        return "" if excluded.clip_id.str.startswith("a/bad").any() else "disappeared"
    frames = rows.duration_s.item() * rows.sample_rate.item()
    return "" if frames >= 0.97 * good.numbers["frames"] else f"{frames:.0f} of {good.numbers['frames']} frames"


def all_rows(folder: Path, result: harness.Result, good: Good, command: kills.Command) -> str:
    """Empty where every row of the table is a clip or an excluded one."""
    import pandas as pd

    lines = sum(len(pd.read_csv(folder / "q" / name)) for name in ("a.csv", "a_excluded.csv"))
    rows = len([line for line in (folder / "a.csv").read_bytes().splitlines() if line.strip()]) - 1
    return "" if lines == rows else f"{lines} of {rows} rows"


# Damage to bytes.


def write(name: str, change: Callable[[bytes], bytes]) -> Do:
    def do(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return do


def at_path(name: str, change: Callable[[Path], None]) -> Do:
    return lambda folder: change(folder / name)


def flipped(data: bytes, rng: random.Random, n: int = 1, end: int | None = None) -> bytes:
    found = bytearray(data)
    for _ in range(n):
        place = rng.randrange(min(len(found), end or len(found)))
        found[place] ^= 1 << rng.randrange(8)
    return bytes(found)


def of_bytes(rng: random.Random, cuts: int = 8, flips: int = 12) -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """Ways to damage any file: name and function."""
    for i in range(cuts):
        part = i / cuts + rng.random() / cuts
        yield f"cut at {part:.0%}", lambda data, part=part: data[: int(len(data) * part)]
    for i in range(flips):
        seed, n = rng.random(), 1 if i % 2 else 8
        yield f"{n} bits flipped, {i}", lambda data, seed=seed, n=n: flipped(data, random.Random(seed), n)
    yield "empty", lambda data: b""
    yield "zeros", lambda data: bytes(len(data))
    yield "0xff", lambda data: b"\xff" * len(data)
    yield "zeros at the end", lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2)
    yield "noise", lambda data: random.Random(1).randbytes(len(data))
    yield "in front", lambda data: b"\r\n" + data
    yield "behind", lambda data: data + b"\nrubbish"
    yield "twice", lambda data: data + data
    yield "text", lambda data: b"not what you expect\n"
    yield "a web page", lambda data: b"<!DOCTYPE html><html><body>404</body></html>"
    yield "a pointer", lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def headers(rng: random.Random) -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """Header fields, byte by byte and as 32-bit numbers."""
    for place in range(4, 44, 2):
        for value in (0, 0xFF):
            yield f"byte {place} = {value}", lambda data, p=place, v=value: data[:p] + bytes([v]) + data[p + 1 :]
    for place in (4, 16, 22, 24, 28, 34, 40):
        for value in (0, 1, 0x7FFFFFFF, 0xFFFFFFFF):
            yield (
                f"field {place} = {value:#x}",
                lambda data, p=place, v=value: data[:p] + struct.pack("<I", v) + data[p + 4 :],
            )


# Things that are no files.


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def dangling(path: Path) -> None:
    path.symlink_to("nothing")


def sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(3 << 30)


def absent(path: Path) -> None:
    """Nothing is there."""


NO_FILES = (fifo, endless, folder, loop, dangling, sparse, absent)


def instead(name: str, make: Callable[[Path], None]) -> Do:
    def do(work: Path) -> None:
        path = work / name
        path.unlink(missing_ok=True)
        make(path)

    return do


# Files that are sealed again.


def sealed_csv(name: str, change: Callable) -> Do:
    """Change a CSV's frame, and give its stamp the new hash."""

    def do(work: Path) -> None:
        import pandas as pd

        from speechemb.artifacts import provenance, storage

        path = work / name
        change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False, lineterminator="\n")
        stamp = json.loads(storage.sidecar(path).read_text()) | {"sha256": provenance.sha256_file(path)}
        storage.sidecar(path).write_text(json.dumps(provenance.seal(stamp)))

    return do


def sealed_json(name: str, change: Callable[[dict], object]) -> Do:
    def do(work: Path) -> None:
        from speechemb.artifacts import provenance

        content = change(json.loads((work / name).read_text()))
        if isinstance(content, dict):
            content = provenance.seal(content)
        (work / name).write_text(json.dumps(content))

    return do


def keys(content: dict, prefix: tuple = ()) -> Iterator[tuple]:
    """Paths of the keys of a JSON object, two levels deep."""
    for key, value in content.items():
        yield (*prefix, key)
        if isinstance(value, dict) and len(prefix) < 1:
            yield from keys(value, (*prefix, key))


def with_value(content: dict, place: tuple, value: object, remove: bool = False) -> dict:
    found = json.loads(json.dumps(content))
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    if remove:
        inner.pop(place[-1], None)
    else:
        inner[place[-1]] = value
    return found


def json_damage(name: str, content: dict, skip: tuple = ()) -> Iterator[tuple[str, Do]]:
    """Every key missing, and with each of WRONG."""
    for place in keys(content):
        if place[0] in ("content_sha256", *skip):
            continue
        shown = ".".join(place)
        yield f"{shown} missing", sealed_json(name, lambda c, p=place: with_value(c, p, None, remove=True))
        for value in WRONG:
            text = repr(value)[:20]
            yield f"{shown} = {text}", sealed_json(name, lambda c, p=place, v=value: with_value(c, p, v))


def npz_changed(name: str, change: Callable[[dict], None], seal: bool = True, **zip_options) -> Do:
    """Change the arrays of an npz (a dictionary, with `meta` as a dictionary), and seal it again."""

    def do(work: Path) -> None:
        import numpy as np

        from speechemb.artifacts import npz, provenance

        with np.load(work / name) as file:
            arrays = {key: file[key] for key in file.files}
        arrays["meta"] = json.loads(str(arrays["meta"][()]))
        change(arrays)
        meta = arrays.pop("meta", None)
        if seal and isinstance(meta, dict) and isinstance(meta.get("arrays"), dict):
            meta["arrays"].update({k: npz.hash_of(v) for k, v in arrays.items() if v.dtype.kind != "O"})
            meta = provenance.seal(meta)
        if meta is not None:
            arrays["meta"] = np.array(json.dumps(meta)) if isinstance(meta, dict) else meta
        with zipfile.ZipFile(work / name, "w", **zip_options) as archive:
            for key, array in arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, array, allow_pickle=True)
                archive.writestr(f"{key}.npy", buffer.getvalue())

    return do


def raw_npy(key: str, header: str, data: bytes = b"") -> Do:
    """An npz whose member `key` has this header, whatever follows."""

    def do(work: Path) -> None:
        with zipfile.ZipFile(work / "e.npz") as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        text = header.ljust(118) + "\n"
        members[f"{key}.npy"] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data
        with zipfile.ZipFile(work / "e.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    return do


# The families.


def audio(rng: random.Random) -> Iterator[Damage]:
    def at(name: str, change: Callable[[bytes], bytes]) -> Do:
        def do(work: Path) -> None:
            path = work / "audio" / f"bad.{name}"
            path.write_bytes(change(path.read_bytes()))
            text = (work / "a.csv").read_text().replace("bad.wav", f"bad.{name}")
            (work / "a.csv").write_text(text.replace("bad.wav", path.name))

        return do

    for name in FORMATS:
        ways = list(of_bytes(rng)) + (list(headers(rng)) if name in ("wav", "aiff", "flac") else [])
        for what, change in ways:
            yield Damage("audio in step 1", f"{name}: {what}", at(name, change), AUDIO, all_audio)
    for make in NO_FILES:
        yield Damage("audio in step 1", make.__name__, instead("audio/bad.wav", make), AUDIO, all_audio)
    for what, change in of_bytes(rng):
        clip = write("toy/s0_neutral_0.wav", change)
        yield Damage("audio changed before step 2", what, clip, TWO, refused)
    for make in NO_FILES:
        clip = instead("toy/s0_neutral_0.wav", make)
        yield Damage("audio changed before step 2", make.__name__, clip, TWO, refused)
        if make is not absent:
            yield Damage("audio in predict", make.__name__, clip, predict("svm"), excluded)
    for what, change in of_bytes(rng):
        yield Damage("audio in predict", what, write("toy/s0_neutral_0.wav", change), predict("svm"), excluded)


def excluded(folder: Path, result: harness.Result, good: Good, command: kills.Command) -> str:
    """Empty where all clips are predicted as before, but for the damaged one; and that one, or a word about it."""
    wanted = str(good.numbers[" ".join(command)]).splitlines()
    found = (folder / "x.csv").read_text().splitlines()
    others = [line for line in found if "s0_neutral_0" not in line]
    if others != [line for line in wanted if "s0_neutral_0" not in line]:
        return "other clips changed"
    return "" if len(others) < len(found) or "s0_neutral_0" in result.err else "disappeared"


def tables(rng: random.Random) -> Iterator[Damage]:
    head, row = "path,emotion,speaker\n", "toy/s0_neutral_0.wav,neutral,s0\n"
    good = head + row + "toy/s1_happy_0.wav,happy,s1\n"
    texts = {
        "no header": row * 2,
        "header only": head,
        "semicolons": good.replace(",", ";"),
        "a row twice": good + row,
        "no emotion column": good.replace("emotion", "feeling"),
        "column twice": good.replace("speaker", "path"),
        "empty emotion": good.replace(",happy,", ",,"),
        "a wide row": good + "toy/a,b,c,d,e,f\n",
        "a short row": good + "x\n",
        "an open quote": good + '"toy/s2',
        "a NUL": good.replace("s1\n", "s\0\n"),
        "only commas": ",,,\n" * 3,
        "a formula": good.replace(",s1", ",=cmd|'/C calc'!A0"),
        "a control character": good.replace(",s1", ",s\x1b[31m"),
        "a line break in a field": good.replace(",s1", ',"s\n1"'),
        "a far path": head + "../../../etc/passwd,happy,s\n" + row,
        "an absolute path": head + "/etc/passwd,happy,s\n" + row,
        "/proc": head + "/proc/self/mem,happy,s\n" + row,
        "a long path": head + "a" * 5000 + ",happy,s\n" + row,
        "a folder as path": head + "toy,happy,s\n" + row,
        "a long field": good.replace(",s1", "," + "s" * 200_000),
        "many columns": head.replace("\n", "," + ",".join("abcdefg" * 3000) + "\n") + row,
        "a dot as path": head + ".,happy,s\n" + row,
        "a URL as path": head + "http://a/b.wav,happy,s\n" + row,
        "a surrogate": good.replace(",s1", ",\U0001f600"),
        "right to left": good.replace(",s1", ",\u202es1"),
        "a long emotion": good.replace("happy", "h" * 10_000),
        "an odd emotion": good.replace("happy", "../x"),
        "an emotion with a line break": good.replace("happy", '"ha\nppy"'),
        "a comma in the emotion": good.replace("happy", '"a,b"'),
        "a formula as emotion": good.replace("happy", "=1+1"),
        "emotion nan": good.replace("happy", "nan"),
        "a quote in the middle": good.replace("s1_happy", 's1"happy'),
        "tabs and commas": good.replace("path,", "path\t", 1),
        "carriage returns": good.replace("\n", "\r"),
        "start and end": good.replace("speaker", "start"),
        "one class": head + row,
        "gender odd": good.replace("speaker", "gender"),
        "no clip of the table": head + "x.wav,happy,s\n",
    }
    codes = {
        "utf-16": good.encode("utf-16"),
        "latin-1": good.replace("s1\n", "é\n").encode("latin-1"),
        "BOM": good.encode("utf-8-sig"),
        "utf-32": good.encode("utf-32"),
        "an xlsx": b"PK\x03\x04" + bytes(500),
    }
    for what, data in {**{name: text.encode() for name, text in texts.items()}, **codes}.items():
        check = (
            all_rows
            if what in ("a far path", "an absolute path", "/proc", "a long path", "a folder as path")
            else passes
        )
        yield Damage("table in step 1", what, write("a.csv", lambda _, data=data: data), AUDIO, check)
    for what, change in of_bytes(rng):
        yield Damage("table in step 1", what, write("a.csv", change), AUDIO, passes)
    for make in NO_FILES:
        yield Damage("table in step 1", make.__name__, instead("a.csv", make), AUDIO, refused)


def passes(folder: Path, result: harness.Result, good: Good, command: kills.Command) -> str:
    """A table may say what it wants; what is written has to be readable by the next step."""
    from speechemb.artifacts import metadata
    from speechemb.errors import InputError

    try:
        metadata.read_metadata(folder / "q" / "a.csv")
    except InputError as error:
        return f"step 2 refuses what step 1 wrote: {error}"
    return ""


def intermediate(work: Path, rng: random.Random) -> Iterator[Damage]:
    """CSVs with sidecars, JSON: unsealed, as no files, with other columns, sealed again."""
    predictions = f"r/predictions_{NAME.format('svm')}"
    for family, name, command in (("metadata", "p/toy", TWO), ("predictions", predictions, FOUR)):
        for suffix in (".csv", ".meta.json"):
            for what, change in of_bytes(rng):
                yield Damage(family, f"{suffix}: {what}", write(name + suffix, change), command, same)
            for make in NO_FILES:
                check = gone if (make is absent or make is dangling) and family == "predictions" else refused
                yield Damage(family, f"{suffix}: {make.__name__}", instead(name + suffix, make), command, check)
        stamp = json.loads((work / f"{name}.meta.json").read_text())
        for what, change in json_damage(f"{name}.meta.json", stamp):
            yield Damage(f"{family}, sealed", what, change, command, same)
        for what, change in frames(family):
            yield Damage(f"{family}, sealed", what, sealed_csv(f"{name}.csv", change), command, refused)


def gone(folder: Path, result: harness.Result, good: Good, command: kills.Command) -> str:
    """Predictions that are gone are no longer evaluated; the others are."""
    return "" if "2 runs" in result.out else "evaluated"


def frames(family: str) -> Iterator[tuple[str, Callable]]:
    """Frames that no step writes."""
    import pandas as pd

    yield "no row", lambda frame: frame.iloc[:0]
    yield "a row twice", lambda frame: pd.concat([frame, frame.iloc[:1]])
    columns = {
        "metadata": ("clip_id", "path", "corpus", "emotion", "duration_s", "sample_rate", "audio_sha256"),
        "predictions": ("clip_id", "corpus", "fold", "true", "predicted", "p_happy", "p_sad"),
    }[family]
    for column in columns:
        yield f"no {column}", lambda frame, c=column: frame.drop(columns=c)
        for value in ("", "nan", "-1", "../../x", "a\nb", "1e400", "=1+1", "\x1b[31m"):
            # Any text names a clip, a file or a fold; an emotion is of one line.
            if value and (column in ("clip_id", "path", "fold") or column == "emotion" and value.isprintable()):
                continue
            if column in ("duration_s", "sample_rate", "p_happy") and value == "=1+1":
                continue

            def put(frame, c=column, v=value):
                frame = frame.copy()
                frame.loc[0, c] = v
                return frame

            yield f"{column} = {value!r}", put


def npz(work: Path, rng: random.Random) -> Iterator[Damage]:
    import numpy as np

    for what, change in of_bytes(rng, cuts=12, flips=30):
        yield Damage("npz", what, write("e.npz", change), SVM, same)
    for make in NO_FILES:
        yield Damage("npz", make.__name__, instead("e.npz", make), SVM, refused)
    with np.load(work / "e.npz") as file:
        names, meta = file.files, json.loads(str(file["meta"][()]))
    for place in keys(meta):
        if place[0] == "content_sha256":
            continue
        ways = [("missing", lambda a, p=place: a.update(meta=with_value(a["meta"], p, None, remove=True)))]
        ways += [(f"= {v!r:.20}", lambda a, p=place, v=v: a.update(meta=with_value(a["meta"], p, v))) for v in WRONG]
        for what, change in ways:
            yield Damage("npz, sealed", f"meta {'.'.join(place)} {what}", npz_changed("e.npz", change), SVM, same)

    def first_is(key: str, value: object) -> Callable[[dict], None]:
        def change(arrays: dict) -> None:
            array = arrays[key].astype(object)
            array.flat[0] = value
            arrays[key] = array.astype(str) if arrays[key].dtype.kind == "U" else array.astype(arrays[key].dtype)

        return change

    for key in names:
        yield Damage("npz, sealed", f"no {key}", npz_changed("e.npz", lambda a, k=key: a.pop(k)), SVM, refused)
        shapes: dict[str, Callable] = {
            "as a scalar": lambda a: np.array("x"),
            "empty": lambda a: a[:0],
            "one row fewer": lambda a: a[:-1],
            "turned": lambda a: np.asfortranarray(a.T) if a.ndim > 1 else a[:, None],
            "as objects": lambda a: a.astype(object),
            "as bytes": lambda a: np.frombuffer(a.tobytes(), np.uint8),
            "as float64": lambda a: np.zeros(a.shape),
            "as complex": lambda a: np.zeros(a.shape, complex),
            "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
            "as dates": lambda a: np.zeros(a.shape, "M8[s]"),
            "as records": lambda a: np.zeros(a.shape, "i4,f4"),
        }
        for what, change in shapes.items():

            def reshape(arrays: dict, k=key, change=change) -> None:
                arrays[k] = change(arrays[k] if k != "meta" else np.array("{}"))

            check = same if key == "excluded" or what == "big-endian" else refused
            yield Damage("npz, sealed", f"{key} {what}", npz_changed("e.npz", reshape), SVM, check)
    for key, values in {
        "embeddings": (np.nan, np.inf, -np.inf),
        "corpora": ("../../x", "", "a/b", "A B", "x" * 500, "\n"),
        "labels": ("", "a\nb", "x" * 500, "\x1b[31m"),
        "clip_ids": ("toy/s1_happy_0", ""),
        "augmented_from": ("nobody",),
        "layers": (5, -1),
    }.items():
        for value in values:
            do = npz_changed("e.npz", first_is(key, value))
            yield Damage("npz, sealed", f"{key}[0] = {value!r:.20}", do, SVM, refused)
    for header in (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (32, 1, 1099511627776), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 1, 758), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (32, 1, 758), }",
        "{'descr': '|O', 'fortran_order': False, 'shape': (32, 1, 758), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (32, 1.5), }",
        "{'descr': '<U1000000000', 'fortran_order': False, 'shape': (32,), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (32, 1, 758), }",
        "{'descr': '<V0', 'fortran_order': False, 'shape': (99999999999,), }",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999,), }",
        "__import__('os').system('touch ran')",
        "{" * 90,
    ):
        for key in ("embeddings", "labels", "meta", "layers"):
            data = bytes(1 << 20)
            yield Damage("npz, sealed", f"{key} {header}", raw_npy(key, header, data), SVM, refused)
    deep = '{"a":' * 100_000

    def nested(work: Path) -> None:
        with zipfile.ZipFile(work / "e.npz", "a") as archive:
            buffer = io.BytesIO()
            np.save(buffer, np.array(deep))
            archive.writestr("meta.npy", buffer.getvalue())

    yield Damage("npz, sealed", "meta nested without end", nested, SVM, refused)
    for what, change in of_bytes(rng, cuts=4, flips=6):
        yield Damage("npz in step 5", what, write("e.npz", change), FIVE, same)


FIVE: kills.Command = ("5", "--npz-path", "e.npz", "--results-dir", "r9")


def models(work: Path, rng: random.Random) -> Iterator[Damage]:
    names = ("svm", "logistic", "mlp")
    files = {**{name: f"{name}.safetensors" for name in names}, "xgboost": "xgboost.json"}
    for name, weights in files.items():
        at = f"m/{NAME.format(name)}"
        for file in ("model.json", weights):
            for what, change in of_bytes(rng, cuts=6, flips=6):
                yield Damage("model", f"{name}, {file}: {what}", write(f"{at}/{file}", change), predict(name), same)
            for make in NO_FILES:
                do = instead(f"{at}/{file}", make)
                yield Damage("model", f"{name}, {file}: {make.__name__}", do, predict(name), refused)

        def sealed(do: Do, at=at, weights=weights) -> Do:
            def both(work: Path) -> None:
                from speechemb.artifacts import provenance

                do(work)
                digest = provenance.sha256_file(work / at / weights)
                sealed_json(f"{at}/model.json", lambda c: {**c, "files": {weights: digest}})(work)

            return both

        # A flipped bit of a weight makes another model, which nobody can tell; but it must end well.
        for what, change in of_bytes(rng, cuts=8, flips=20):
            do = sealed(write(f"{at}/{weights}", change))
            yield Damage("weights, sealed", f"{name}: {what}", do, predict(name), finite)
        if weights.endswith("safetensors"):
            for what, change in tensors(work / at / weights):
                do = sealed(at_path(f"{at}/{weights}", change))
                yield Damage("weights, sealed", f"{name}: {what}", do, predict(name), same)
    at = f"m/{NAME.format('svm')}"
    for what, change in json_damage(f"{at}/model.json", json.loads((work / at / "model.json").read_text())):
        yield Damage("model.json, sealed", what, change, predict("svm"), same)
    yield from xgboost(rng, f"m/{NAME.format('xgboost')}")


def tensors(path: Path) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Safetensors without a tensor, or with one of another shape or of numbers that are none."""
    import numpy as np
    from safetensors.numpy import load_file, save_file

    def change(name: str, how: Callable | None) -> Callable[[Path], None]:
        def do(path: Path) -> None:
            arrays = load_file(path)
            array = arrays.pop(name)
            if how:
                arrays[name] = np.ascontiguousarray(how(array))
            save_file(arrays, path)

        return do

    for name, array in load_file(path).items():
        yield f"no {name}", change(name, None)
        yield f"{name} with an axis more", change(name, lambda a: a[None])
        yield f"{name} flat", change(name, lambda a: np.zeros(a.size + 1, a.dtype))
        if array.dtype.kind == "f":
            yield f"{name} NaN", change(name, lambda a: a * np.nan)
        if array.ndim and len(array) > 1:
            yield f"{name} shorter", change(name, lambda a: a[:-1])


def xgboost(rng: random.Random, at: str) -> Iterator[Damage]:
    """A model of XGBoost whose trees lead nowhere, in circles, or out of its arrays."""

    def changed(change: Callable[[dict], None]) -> Do:
        def do(work: Path) -> None:
            from speechemb.artifacts import provenance

            path = work / at / "xgboost.json"
            content = json.loads(path.read_text())
            change(content["learner"])
            path.write_text(json.dumps(content))
            digest = provenance.sha256_file(path)
            sealed_json(f"{at}/model.json", lambda c: {**c, "files": {"xgboost.json": digest}})(work)

        return do

    def case(name: str, change: Callable[[dict], object]) -> Damage:
        return Damage("XGBoost JSON, sealed", name, changed(change), predict("xgboost"), finite)

    arrays = (
        "left_children",
        "right_children",
        "parents",
        "split_indices",
        "split_conditions",
        "default_left",
        "base_weights",
        "sum_hessian",
        "loss_changes",
        "split_type",
        "categories",
        "categories_nodes",
        "categories_segments",
        "categories_sizes",
    )
    values = (0, -2, 10**6, 2**31 - 1, -(2**31), 2**40, 1.5, None, "x", [])

    def tree(learner: dict) -> dict:
        return learner["gradient_booster"]["model"]["trees"][0]

    for key in arrays:
        yield case(f"no {key}", lambda c, k=key: tree(c).pop(k))
        yield case(f"{key} empty", lambda c, k=key: tree(c).update({k: []}))
        for value in values:

            def put(learner: dict, k=key, v=value) -> None:
                array = tree(learner)[k]
                if array:
                    array[0] = v
                else:
                    array.append(v)

            yield case(f"{key}[0] = {value}", put)
    places = (
        ("learner_model_param", "num_feature"),
        ("learner_model_param", "num_class"),
        ("learner_model_param", "base_score"),
        ("objective", "name"),
        ("gradient_booster", "name"),
        ("gradient_booster", "model"),
    )
    for place in places:
        for value in ("0", "-1", "1000000000", "x", "", None, [], {}, 3):

            def set_value(learner: dict, p=place, v=value) -> None:
                learner[p[0]][p[1]] = v

            yield case(f"{'.'.join(place)} = {value!r}", set_value)
    for key in ("num_nodes", "num_feature", "num_deleted", "size_leaf_vector"):
        for value in ("0", "-1", "1000000", "99999999999", "x"):

            def set_param(learner: dict, k=key, v=value) -> None:
                tree(learner)["tree_param"][k] = v

            yield case(f"{key} = {value}", set_param)


def encoders(work: Path, rng: random.Random) -> Iterator[Damage]:
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        for what, change in of_bytes(rng, cuts=5, flips=5):
            yield Damage("encoder folder", f"{name}: {what}", write(f"tiny/{name}", change), ENCODE, finite)
        for make in NO_FILES:
            optional = name == "preprocessor_config.json" and make in (absent, dangling)  # there is a usual one
            check = finite if optional else refused
            yield Damage("encoder folder", f"{name}: {make.__name__}", instead(f"tiny/{name}", make), ENCODE, check)
        if not name.endswith(".json"):
            continue
        content = json.loads((work / "tiny" / name).read_text())
        for key in content:
            ways = [("missing", lambda c, k=key: {x: c[x] for x in c if x != k})]
            values = (None, 0, -1, 1.5, 10**9, "x", [], {}, True, [0] * 7, [10**9] * 7)
            ways += [(f"= {v!r}", lambda c, k=key, v=v: {**c, k: v}) for v in values]
            for what, change in ways:

                def do(work: Path, name=name, change=change) -> None:
                    path = work / "tiny" / name
                    path.write_text(json.dumps(change(json.loads(path.read_text()))))

                yield Damage("encoder folder", f"{name}: {key} {what}", do, ENCODE, finite)
    for what, change in tensors(work / "tiny" / "model.safetensors"):
        if "NaN" in what or rng.random() < 0.15:
            yield Damage("encoder folder", what, at_path("tiny/model.safetensors", change), ENCODE, finite)

    def foreign(work: Path) -> None:
        path = work / "tiny" / "config.json"
        content = json.loads(path.read_text())
        content["auto_map"] = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}
        path.write_text(json.dumps(content))
        (work / "tiny" / "evil.py").write_text("open('ran', 'w')\nclass Config: pass\nclass Model: pass\n")

    yield Damage("encoder folder", "auto_map with code", foreign, ENCODE, finite)


def partials(rng: random.Random) -> Iterator[Damage]:
    """What a killed extraction left, damaged before it resumes."""
    for name in ("rows.npy", "done.txt", "plan.json", "precision.txt"):
        for what, change in of_bytes(rng, cuts=4, flips=4):
            do = write(f"n.npz.partial/{name}", change)
            yield Damage("unfinished step 2", f"{name}: {what}", do, RESUME, same)
        for make in NO_FILES:
            do = instead(f"n.npz.partial/{name}", make)
            yield Damage("unfinished step 2", f"{name}: {make.__name__}", do, RESUME, same)


RESUME: kills.Command = (*TWO, "--batch-seconds", "3")


def cases(work: Path, seed: int) -> Iterator[Damage]:
    rng = random.Random(seed)
    yield from audio(rng)
    yield from tables(rng)
    yield from intermediate(work, rng)
    yield from npz(work, rng)
    yield from models(work, rng)
    yield from encoders(work, rng)
    yield from partials(rng)


def spread(found: list[Damage], count: int, seed: int) -> list[Damage]:
    """`count` of the cases, taking turns among the families, each in an order of its own."""
    families: dict[str, list[Damage]] = {}
    for case in found:
        families.setdefault(case.family, []).append(case)
    for family in families.values():
        random.Random(seed).shuffle(family)
    chosen: list[Damage] = []
    while len(chosen) < min(count, len(found)):
        for name in list(families):
            if families[name] and len(chosen) < count:
                chosen.append(families[name].pop())
    return sorted(chosen, key=lambda case: list(families).index(case.family))


class Campaign:
    """One process's share of the damage."""

    def __init__(self, folder: Path) -> None:
        self.outer = folder
        self.steps = harness.Steps(folder / "work")
        kills.prepare(self.steps)
        work = self.steps.folder
        harness.restore(work.with_name("work.base"), work)
        self.make_audio(work)
        for command in (
            *(((*kills.THREE, "--classifier", name)) for name in ("svm", "logistic", "mlp", "xgboost")),
            FOUR,
        ):
            kills.do(self.steps, command)
        harness.restore(work, work.with_name("work.base"))
        self.base = work.with_name("work.base")
        self.good = Good({"frames": 16000})
        commands = (TWO, ENCODE, SVM, FOUR, FIVE, *(predict(name) for name in ("svm", "logistic", "mlp", "xgboost")))
        for command in commands:
            harness.restore(self.base, work)
            kills.do(self.steps, command)
            self.good.numbers[" ".join(command)] = numbers_of(work, command)
        self.good.numbers[" ".join(RESUME)] = self.good.numbers[" ".join(TWO)]
        self.leave_unfinished(work)
        self.around = self.listing()

    def make_audio(self, work: Path) -> None:
        """`a.csv` with `bad.wav`, which the cases damage, and two good clips; `bad` in every other format."""
        import numpy as np
        import soundfile

        (work / "audio").mkdir()
        wave = 0.3 * np.sin(np.arange(16000) * 0.05) + 0.01 * np.random.default_rng(0).normal(size=16000)
        for name, (subtype, kind) in FORMATS.items():
            soundfile.write(work / "audio" / f"bad.{name}", wave, 16000, subtype=subtype, format=kind)
        rows = ["audio/bad.wav,happy,s0", "toy/s0_neutral_0.wav,neutral,s0", "toy/s1_sad_0.wav,sad,s1"]
        (work / "a.csv").write_text("\n".join(["path,emotion,speaker", *rows]) + "\n")

    def leave_unfinished(self, work: Path) -> None:
        """Put what a killed step 2 leaves into the base folder."""
        log = self.outer / "log"
        harness.restore(self.base, work)
        kills.do(self.steps, RESUME, before=kills.killer(work, -1, log), seconds=600)
        operations = log.read_text().splitlines()
        stores = [i for i, line in enumerate(operations) if line.startswith("open") and "done.txt" in line]
        harness.restore(self.base, work)
        kills.do(self.steps, RESUME, before=kills.killer(work, stores[-1], log), seconds=600)
        assert (work / "n.npz.partial" / "done.txt").exists()
        shutil.copytree(work / "n.npz.partial", self.base / "unfinished")

    def listing(self) -> set[str]:
        return {path.name for path in self.outer.iterdir()} | {path.name for path in self.outer.parent.iterdir()}

    def case(self, damage: Damage) -> harness.Case:
        work = self.steps.folder
        harness.restore(self.base, work)
        if damage.command == RESUME:
            shutil.copytree(work / "unfinished", work / "n.npz.partial")
        damage.change(work)
        result = self.steps.run(*damage.command, seconds=60, memory=2 << 30)
        outcome, seen = result.outcome, result.last
        if outcome == "right":
            try:
                seen = damage.check(work, result, self.good, damage.command)
            except (FileNotFoundError, ValueError) as error:
                seen = f"its result cannot be read: {error}"
            outcome = "silently wrong" if seen else "right"
        elif outcome == "signal":
            seen = f"signal {-result.code}"
        if (outside := self.listing() - self.around) or (work / "ran").exists():
            outcome, seen = "silently wrong", f"outside of its folders: {outside or 'code ran'}"
        return harness.Case(damage.family, damage.name, outcome, seen)


def run(count: int = 1200, jobs: int = 2, seed: int = 0, only: str = "") -> list[harness.Case]:
    """About `count` damaged files, spread over the families (those that `only` names)."""
    folder = Path(tempfile.mkdtemp(prefix="damage-"))

    def work(job: int) -> Iterator[harness.Case]:
        campaign = Campaign(folder / str(job) / "deep")
        found = [case for case in cases(campaign.base, seed) if harness.is_named(only, case.family, case.name)]
        for i, damage in enumerate(spread(found, count, seed)):
            if i % jobs == job:
                yield campaign.case(damage)
        campaign.steps.close()

    for job in range(jobs):
        (folder / str(job) / "deep").mkdir(parents=True)
    try:
        return harness.in_processes(jobs, work)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
