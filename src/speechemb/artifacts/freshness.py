"""Is a file up to date? One answer for every step, and what to do where it is not.

A file is up to date if its stamp says that it was made from the same content by the same settings, code and libraries
as it would be now, and if the file, and all that belongs to it, is unchanged since.
"""

import json
from pathlib import Path
from typing import Any

from speechemb.artifacts import npz, provenance
from speechemb.artifacts.storage import ArtifactError, sidecar
from speechemb.paths import EMBEDDINGS, MODELS, PROCESSED, RESULTS, ROOT, shown

COMPARED = ("fingerprint", "versions", "code")
NOT_COMPARED = ("fingerprint", "git", "command")  # these two may differ; the fingerprint only sums up others
# The flag that says where a kind of file goes, and where it goes without the flag.
PLACES = {
    "metadata": ("--out-dir", PROCESSED),
    "embeddings": ("--out", EMBEDDINGS / "emotion_embeddings.npz"),
    "predictions": ("--results-dir", RESULTS),
    "model": ("--models-dir", MODELS),
    "regression": ("--results-dir", RESULTS),
    "regression model": ("--models-dir", MODELS),
    "map": ("--results-dir", RESULTS),
}


def recorded_stamp(path: Path) -> dict[str, Any] | None:
    """The stamp that a CSV, a JSON artifact or an npz carries; None where it has none, or a damaged one."""
    try:
        if path.suffix == ".npz":
            found = npz.load(path, [], remedy="")[1]
        else:
            file = sidecar(path) if _has_sidecar(path) else path
            if not file.is_file():  # a named pipe would never end
                return None
            found = json.loads(file.read_text(encoding="utf-8"))
    except (ArtifactError, OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and provenance.sealed(found) else None


def _has_sidecar(path: Path) -> bool:
    """Whether the stamp is in a sidecar: of tables, and of predict.py's rows in JSON; else it is inside."""
    return path.suffix in (".csv", ".jsonl") or (path.suffix == ".json" and sidecar(path).is_file())


def content_hash(path: Path) -> str | None:
    """SHA-256 that stands for the content of an artifact, as `inputs` record it; None where there is no valid one."""
    if path.suffix == ".csv":
        return provenance.sha256_file(path) if path.is_file() else None
    stamp = recorded_stamp(path)
    return stamp["content_sha256"] if stamp else None


def is_intact(path: Path) -> bool:
    """Whether a file, and every file that belongs to it, is as its stamp says."""
    stamp = recorded_stamp(path)
    if stamp is None or not path.is_file():
        return False
    if path.suffix == ".npz" and not npz.is_intact(path, stamp):
        return False
    if _has_sidecar(path) and provenance.sha256_file(path) != stamp.get("sha256"):
        return False
    files = {path.parent / Path(name).name: digest for name, digest in (stamp.get("files") or {}).items()}
    return all(file.is_file() and provenance.sha256_file(file) == digest for file, digest in files.items())


def is_up_to_date(path: Path, stamp: dict[str, Any]) -> bool:
    """Whether `path` was made from the same content, settings, code and libraries as it would be now, and is unchanged.

    Args:
        path: a CSV, a JSON artifact or an npz
        stamp: the stamp that it would get now
    """
    found = recorded_stamp(path)
    return found is not None and all(found.get(key) == stamp[key] for key in COMPARED) and is_intact(path)


def check_replaceable(path: Path, stamp: dict[str, Any], settings: tuple[str, ...] = ()) -> None:
    """Refuse to replace a file of the same name that was made from other files.

    Args:
        path: a CSV that may exist
        stamp: of what would replace it
        settings: keys of the stamp in which the two have to agree as well

    Raises:
        ArtifactError: they differ; the line names the command that made the older file.
    """
    found = recorded_stamp(path) if path.exists() else None
    if found is None:
        return
    differing = [key for key in settings if found.get(key) != stamp.get(key)]
    if not _same_sources(found, stamp):
        differing.append("inputs")
    if differing:
        raise ArtifactError(_exists(path, found, differing))


def check_absent(path: Path, stamp: dict[str, Any]) -> None:
    """Refuse to replace a file that was made from other content, by other settings, code or libraries, or is damaged.

    Raises:
        ArtifactError: it exists; the line names the command that made it, and what differs.
    """
    if not path.exists():
        return
    found = recorded_stamp(path)
    if found is None or not is_intact(path):
        raise ArtifactError(f"{shown(path)} exists, but is damaged or not of this project: {_choice(path)}")
    different = [key for key in stamp if key not in NOT_COMPARED and found.get(key) != stamp[key]]
    raise ArtifactError(_exists(path, found, different))


def _exists(path: Path, found: dict[str, Any], differing: list[str]) -> str:
    made = f"by `{found['command']}`" if found.get("command") else "by another command"
    return f"{shown(path)} exists, made {made}, with other {', '.join(differing)}: {_choice(path)}"


def _choice(path: Path) -> str:
    flag = {".npz": "--out"}.get(path.suffix) or ("--out-dir" if path.parent == PROCESSED else "another folder")
    return f"write to {flag}, or replace it with --overwrite"


def _same_sources(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two files were made from the same files: those at the same places, or of the same content."""
    pairs = [one.get("inputs") or [], other.get("inputs") or []]
    return len(pairs[0]) == len(pairs[1]) and all(
        a["path"] == b["path"] or a["sha256"] == b["sha256"] for a, b in zip(*pairs, strict=True)
    )


def command_for(path: Path, step: str) -> str:
    """The command that makes `path` anew: the recorded one where its stamp is valid, else the bare step."""
    stamp = recorded_stamp(path)
    if not stamp or not isinstance(stamp.get("command"), str) or not stamp["command"]:
        return step
    flag, usual = PLACES.get(str(stamp.get("kind")), ("", None))
    place = path if flag == "--out" else path.parent.parent if flag == "--models-dir" else path.parent
    return stamp["command"] + (f" {flag} {shown(place)}" if flag and place != usual else "")


def check_upstream(path: Path, step: str) -> None:
    """Raise where something that `path` was made from, directly or not, still exists and has changed since.

    An input that is gone cannot be checked and is accepted: results are meant to travel without the corpus.

    Raises:
        ArtifactError: one line that names the input and the command that makes what was made from it.
    """
    for item in (recorded_stamp(path) or {}).get("inputs") or []:
        source = ROOT / item["path"]
        if not source.is_file():
            continue
        if content_hash(source) != item["sha256"]:
            raise ArtifactError(
                f"{shown(path)} was made from an earlier {item['path']}: rerun {command_for(path, step)}"
            )
        check_upstream(source, step)
