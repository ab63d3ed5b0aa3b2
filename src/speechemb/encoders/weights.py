"""A model's weights: which files hold them, reading them without pickle's code, and the hash of their values."""

import hashlib
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from speechemb.audio.decoding import is_lfs_pointer
from speechemb.encoders.configuration import LFS_REMEDY, read_json
from speechemb.errors import InputError

_TRAINING_ONLY = ("masked_spec_embed", "num_batches_tracked")  # last part of a tensor's name
# In the order of transformers: the first that is there is read.
FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


def files_of(given: str, get: Callable[[str], Path | None], named: Any = None) -> list[Path]:
    """The files of weights that transformers would read.

    `get` gives the path of a file by its name, or None; `named`: config.json's `transformers_weights`.

    Raises:
        InputError: there are none, or one is a Git LFS pointer.
    """
    names = FILES if named is None else (named,)
    found = next((path for name in names if _is_name(name) and (path := get(name))), None)
    if found is None:
        raise InputError(f"{given}: has no {FILES[0]} or {FILES[2]}; give a folder that holds a model's weights")
    paths = _shards(given, found, get) if found.name.endswith(".index.json") else [found]
    for path in paths:
        if is_lfs_pointer(path):
            raise InputError(f"{given}: {path.name} {LFS_REMEDY}")
    return paths


def _shards(given: str, index: Path, get: Callable[[str], Path | None]) -> list[Path]:
    shards = read_json(given, index).get("weight_map")
    names = list(shards.values()) if isinstance(shards, dict) else []
    if not names or not all(_is_name(name) for name in names):
        raise InputError(f"{given}: {index.name} does not name the files of the weights; get it again")
    paths = {name: get(name) for name in sorted(set(names))}
    if missing := [name for name, path in paths.items() if path is None]:
        raise InputError(f"{given}: {index.name} names {missing[0]}, which is not there; get it again")
    return [path for path in paths.values() if path]


def _is_name(name: Any) -> bool:
    """A plain name of a file of weights, which cannot leave its folder."""
    known = (".safetensors", ".bin", ".index.json")
    return isinstance(name, str) and Path(name).name == name and "\\" not in name and name.endswith(known)


def read(given: str, paths: list[Path], renamed: Callable[[str], str] = str) -> dict[str, torch.Tensor]:
    """The tensors of floating-point numbers in the files, on the CPU; no code in a .bin is run.

    `renamed` gives a stored tensor's name in the model; those that it gives no name are not read.

    Raises:
        InputError: a file is truncated or holds something other than weights.
    """
    from safetensors import SafetensorError, safe_open

    tensors: dict[str, Any] = {}
    for path in paths:
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt", device="cpu") as file:
                    keys = file.keys()
                    tensors |= {renamed(key): file.get_tensor(key) for key in keys if renamed(key)}
            else:
                mapped = zipfile.is_zipfile(path)  # the format before torch 1.6 cannot be mapped
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of pickle protocols
                    content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
                items = content.items() if isinstance(content, dict) else ()
                tensors |= {renamed(key): x for key, x in items if isinstance(key, str) and renamed(key)}
        except (SafetensorError, OSError, RuntimeError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{given}: {path.name} is truncated or damaged ({brief(error)}); get it again") from error
        except (UnpicklingError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise InputError(f"{given}: {path.name} holds something other than weights; get it again") from error
    floats = {key: x for key, x in tensors.items() if _is_float(x)}
    if not floats:
        raise InputError(f"{given}: {paths[0].name} holds no floating-point weights; get it again")
    return floats


def names_of_encoder(parts: tuple[str, ...], prefixes: tuple[str, ...]) -> Callable[[str], str]:
    """`renamed` of `read` for an encoder stored with or without a decoder or head, which are not read.

    Args:
        parts: the first words of the names in the encoder
        prefixes: what a stored name may have before them, removed in this order
    """

    def renamed(stored: str) -> str:
        for prefix in prefixes:
            stored = stored.removeprefix(prefix)
        return stored if stored.partition(".")[0] in parts else ""

    return renamed


def _is_float(x: Any) -> bool:
    return isinstance(x, torch.Tensor) and x.is_floating_point() and x.layout == torch.strided


def is_used(name: str) -> bool:
    """Whether a tensor of the model counts for inference."""
    return name.rpartition(".")[2] not in _TRAINING_ONLY


def digest(model: nn.Module) -> str:
    """SHA-256 over names, shapes and float32 values of the weights, the same whatever files they came from."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if is_used(name):
            hashed.update(f"{name}{tuple(tensor.shape)}".encode())
            hashed.update(tensor.contiguous().numpy())
    return hashed.hexdigest()


def not_finite(model: nn.Module) -> list[str]:
    """The names of the weights that hold NaN or infinite numbers."""
    return [name for name, x in model.state_dict().items() if is_used(name) and not bool(torch.isfinite(x).all())]


def brief(error: Exception) -> str:
    """The first line of a library's message, of a length for an error in one line."""
    line = (str(error).splitlines() or [""])[0].strip().rstrip(":. ")
    return (line or type(error).__name__)[:120]
