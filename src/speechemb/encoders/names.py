"""What `--model` names: a tag, a folder or a hub id; and the tag under which its files are known."""

import difflib
import hashlib
import re
from pathlib import Path

from speechemb.encoders import ACOUSTIC, DEFAULT_CONTEXT, EGEMAPS, FEATURES, TAGS
from speechemb.errors import InputError
from speechemb.paths import existing, shown

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Words that say nothing about a model: a folder named after them alone is known by its parent as well.
_GENERIC = set(
    "best checkpoint checkpoints ckpt ckpts encoder epoch epochs export exported final finetuned hf iter "
    "iteration last latest main model models out output outputs pretrained pytorch result results run save "
    "saved snapshot snapshots step steps torch train trained weights ".split()
)
_MAX_TAG = 100


def tag_of(model: str, context: str | None = None) -> str:
    """The encoder's tag in file names: a tag of TAGS (also for its hub id), or else a slug of the name's last part.

    A last part such as `checkpoint-500` or `final` is joined with the folders above it: `run1_checkpoint_500`. A tag
    consists of a-z, 0-9 and _, and has at most 100 characters. A `context` other than the default is its last word,
    `features` the first one of features of one's own: a folder `acoustic` of them is not the baseline.
    """
    if model.startswith(FEATURES):
        place = existing(model.removeprefix(FEATURES))
        words = ["features", _slug_of_path(str(place.with_suffix("") if place.is_file() else place))]
    else:
        name, _, revision = model.partition("@")
        if existing(model).is_dir():
            name, revision = model, ""
        tag = name if name in (*TAGS, ACOUSTIC, EGEMAPS) else {hub_id: t for t, hub_id in TAGS.items()}.get(name)
        words = [tag or _slug_of_path(name), _slug(revision), context if context != DEFAULT_CONTEXT else None]
    slug = "_".join(filter(None, words))
    if len(slug) > _MAX_TAG:
        slug = f"{slug[: _MAX_TAG - 9]}_{hashlib.sha256(slug.encode()).hexdigest()[:8]}"
    return slug


def source_of(model: str) -> str:
    """`--model` as artifacts record it, with the path from the project's root where it is one."""
    kind = FEATURES if model.startswith(FEATURES) else ""
    place = existing(model.removeprefix(kind))
    return kind + shown(place) if kind or place.is_dir() else model


def _slug_of_path(name: str) -> str:
    path = existing(name)
    if not path.is_dir():
        path = Path(name)
    slug = ""
    for part in reversed(path.parts):
        slug = "_".join(filter(None, [_slug(part), slug]))
        if not all(word in _GENERIC or re.fullmatch(r"v?\d+|[0-9a-f]{40}", word) for word in slug.split("_")):
            break
    return slug or "encoder"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def locate(model: str) -> Path | tuple[str, str]:
    """The folder that `--model` names, or a hub id and its revision; an existing folder wins.

    Raises:
        InputError: it can be neither.
    """
    name, _, revision = model.partition("@")
    source = TAGS.get(name, name)
    if existing(model).is_dir():
        return existing(model)
    if existing(source).is_dir():
        if revision:
            raise InputError(f"--model {model}: {source} is a folder, which has no revisions: leave out @{revision}")
        return existing(source)
    if source == TAGS["wavlm_nano"]:
        raise InputError(f"--model {model}: the folder {source} is missing; get it back with `git checkout {source}`")
    if existing(model).is_file():
        raise InputError(
            f"--model {model}: is a file; give the folder that holds it, or {FEATURES}{model} for features"
        )
    if not _HUB_ID.fullmatch(source) or source.startswith("models/"):
        raise InputError(
            f"--model {model}: is no tag, folder or hub id (org/name){like(name)}; give a tag ({', '.join(TAGS)}, "
            f"{ACOUSTIC}; the last two need no download; or {EGEMAPS}), a folder, a hub id, or {FEATURES}FOLDER_OR_FILE"
        )
    return source, revision or "main"


def like(name: str) -> str:
    """`, did you mean wavlm_base?` for a name close to a tag or to its hub id, else nothing."""
    known = {
        **{_slug(tag): tag for tag in (*TAGS, ACOUSTIC, EGEMAPS)},
        **{_slug(hub_id): tag for tag, hub_id in TAGS.items()},
    }
    near = difflib.get_close_matches(_slug(name), known, n=3, cutoff=0.7)
    near += [slug for slug in known if known[slug] == slug and _slug(name) and slug.startswith(_slug(name))]
    tags = list(dict.fromkeys(known[slug] for slug in near))
    return f", did you mean {' or '.join(tags)}?" if tags else ""


def at_commit(source: str, identity: dict) -> str:
    """`source` at the commit that a recorded identity names, where it is that model on the hub; else `source`."""
    name, _, revision = source.partition("@")
    hub_id, commit = TAGS.get(name, name), str(identity.get("revision"))
    is_hub = hub_id == identity.get("name") and _HUB_ID.fullmatch(hub_id) and _COMMIT.fullmatch(commit)
    return f"{hub_id}@{commit}" if is_hub and not existing(source).is_dir() else source
