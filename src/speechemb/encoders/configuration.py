"""config.json and preprocessor_config.json of a model: read as plain JSON and checked before anything is built.

The files may come from anywhere. Only the keys that shape the network's hidden states are taken over; each has a type
and a range, so that no file can run code, hang, or ask for more memory than its weights fill.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from speechemb.audio.decoding import LFS_HEAD, SAMPLE_RATE
from speechemb.errors import InputError, first

CONFIG, PREPROCESSOR, PROCESSOR = "config.json", "preprocessor_config.json", "processor_config.json"
LFS_REMEDY = "is a Git LFS pointer, not the file itself: run `git lfs pull` in the clone"
_MAX_JSON = 16 << 20  # bytes
# Ranges (lowest, highest) of what every family with transformers' usual names has.
BLOCKS = {
    "hidden_size": (1, 8192),
    "num_hidden_layers": (1, 128),
    "num_attention_heads": (1, 64),
    "intermediate_size": (1, 65_536),
}
_COUNTS = {
    **BLOCKS,
    "num_conv_pos_embeddings": (1, 1024),
    "num_conv_pos_embedding_groups": (1, 8192),
    "num_buckets": (4, 65_536),
    "max_bucket_distance": (2, 1_000_000),
    "adapter_attn_dim": (1, 8192),
}
_LISTS = {"conv_dim": (1, 8192), "conv_kernel": (1, 1024), "conv_stride": (1, 1024)}
_FLAGS = ("conv_bias", "do_stable_layer_norm", "feat_proj_layer_norm", "conv_pos_batch_norm")
_MAX_CONVOLUTIONS = 32
# Samples. Every clip that step 1 lets through (0.1 s) has a frame; and a window of 30 s has at most 3,000 frames,
# because the memory of attention grows with their square.
_MAX_REACH, _MIN_HOP = 1600, 160


def read_json(given: str, path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        InputError: the file holds something else.
    """
    remedy = "get it again"
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_JSON + 1)
        if data.startswith(LFS_HEAD):
            raise InputError(f"{given}: {path.name} {LFS_REMEDY}")
        content = json.loads(data) if len(data) <= _MAX_JSON else None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{given}: {path.name} is not a valid JSON file ({type(error).__name__}); {remedy}") from None
    if not isinstance(content, dict):
        raise InputError(f"{given}: {path.name} is not a JSON object; {remedy}")
    return content


def settings_of(given: str, content: dict[str, Any], defaults: dict[str, Any], activations: set[str]) -> dict[str, Any]:
    """The keys of config.json that shape the hidden states, each with its value or its default in the model's family.

    `defaults`: every key that the family has. `activations`: names of activation functions.

    Raises:
        InputError: a value is of the wrong type, out of range, or contradicts another.
    """
    known = [*_COUNTS, *_LISTS, *_FLAGS, "layer_norm_eps", "hidden_act", "feat_extract_activation", "feat_extract_norm"]
    values = {key: content.get(key, defaults[key]) for key in known if key in defaults}
    return without_faults(given, values, _faults(values, activations))


def without_faults(given: str, values: dict[str, Any], faults: Iterable[str]) -> dict[str, Any]:
    """The values, if there is no fault; else an InputError names the first."""
    for fault in faults:
        raise InputError(f"{given}: config.json is not valid: {fault}; get it again, or give another model")
    return values


def _faults(values: dict[str, Any], activations: set[str]):
    """What is wrong with the values, in words; one after the other, because each check relies on those before it."""
    given = {key: value for key, value in values.items() if not (key == "adapter_attn_dim" and value is None)}
    yield from counts_out_of_range(given, _COUNTS)
    for key, (low, high) in _LISTS.items():
        entries = values[key]
        if not isinstance(entries, (list, tuple)) or not 1 <= len(entries) <= _MAX_CONVOLUTIONS:
            yield f"{key} is {shown(entries)}, not a list of 1 to {_MAX_CONVOLUTIONS} numbers"
        if wrong := [entry for entry in entries if not _is_count(entry, low, high)]:
            yield f"{key} holds {shown(wrong[0])}, not a whole number from {low} to {high}"
        values[key] = list(entries)
    yield from not_flags(values, [key for key in _FLAGS if key in values])
    yield from not_a_fraction(values, "layer_norm_eps")
    words = {"feat_extract_norm": {"group", "layer"}, "hidden_act": activations, "feat_extract_activation": activations}
    for key, allowed in words.items():
        if key in values:  # data2vec-audio has no feat_extract_norm
            yield from not_among(values, key, allowed)
    yield from _contradictions(values)


def _contradictions(values: dict[str, Any]):
    for key in ("num_attention_heads", "num_conv_pos_embedding_groups"):
        yield from not_divisible(values, "hidden_size", key)
    lengths = {key: len(values[key]) for key in _LISTS}
    if len(set(lengths.values())) > 1:
        yield "conv_dim, conv_kernel and conv_stride have {}, {} and {} entries".format(*lengths.values())
    reach, hop = frame_geometry(values["conv_kernel"], values["conv_stride"])
    if reach > _MAX_REACH or hop < _MIN_HOP:
        limits = f"at most {_MAX_REACH}, at least {_MIN_HOP}"
        yield f"conv_kernel and conv_stride give frames of {reach} samples every {hop} samples ({limits})"
    if "num_buckets" in values and values["max_bucket_distance"] <= values["num_buckets"] // 4:
        yield f"max_bucket_distance {values['max_bucket_distance']} is not above a quarter of num_buckets"


def counts_out_of_range(values: dict[str, Any], ranges: dict[str, tuple[int, int]]) -> Iterator[str]:
    """What is wrong with those of the values that have a range (lowest, highest), in words."""
    for key, (low, high) in ranges.items():
        if key in values and not _is_count(values[key], low, high):
            yield f"{key} is {shown(values[key])}, not a whole number from {low} to {high}"


def not_among(values: dict[str, Any], key: str, allowed: set[str]) -> Iterator[str]:
    """What is wrong with a value that has to be one of some words."""
    if not isinstance(values[key], str) or values[key] not in allowed:
        yield f"{key} is {shown(values[key])}, not one of {first(sorted(allowed), 5)}"


def not_flags(values: dict[str, Any], keys: Iterable[str]) -> Iterator[str]:
    """What is wrong with values that have to be true or false."""
    for key in keys:
        if not isinstance(values[key], bool):
            yield f"{key} is {shown(values[key])}, not true or false"


def not_a_fraction(values: dict[str, Any], key: str) -> Iterator[str]:
    """What is wrong with a value that has to lie between 0 and 1."""
    yield from out_of_range(values, key, 0, 1)
    if values[key] == 1:
        yield f"{key} is {shown(values[key])}, not a number between 0 and 1"


def out_of_range(values: dict[str, Any], key: str, low: float, high: float) -> Iterator[str]:
    """What is wrong with a number that has to be above `low` and at most `high`."""
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low < value <= high:
        yield f"{key} is {shown(value)}, not a number between {low} and {high}"


def not_divisible(values: dict[str, Any], key: str, by: str) -> Iterator[str]:
    """What is wrong with a value that has to be a multiple of another."""
    if values[key] % values[by]:
        yield f"{key} {values[key]} is not divisible by {by} {values[by]}"


def _is_count(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def shown(value: Any) -> str:
    """A value of a file, short enough for an error of one line."""
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**18 else "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."


def frame_geometry(kernels: list[int], strides: list[int]) -> tuple[int, int]:
    """Length of a frame and distance between frames, both in samples."""
    reach, hop = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        reach, hop = reach + (kernel - 1) * hop, hop * stride
    return reach, hop


def check_size(given: str, count: int, stored: int) -> None:
    """Raise an InputError if the network's parameters, `count`, are more than the weights' files (`stored` bytes) can
    hold, or than fit into the memory: checked before a single one is allocated."""
    if count > stored:
        what = f"config.json asks for {count:,} parameters, and the files hold {stored:,} bytes"
        raise InputError(f"{given}: weights do not fit config.json: {what}; get both files again")
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else math.inf
    if 4 * count > memory:
        raise InputError(
            f"{given}: its {count:,} parameters take {4 * count / 1e9:.0f} GB, more than the memory here; "
            "give a smaller model"
        )


def parameters(values: dict[str, Any]) -> int:
    """The number of parameters of a WavLM, HuBERT or wav2vec 2.0, without biases and norms."""
    width, inner = values["hidden_size"], values["intermediate_size"]
    inputs = [1, *values["conv_dim"]]
    count = sum(a * b * k for a, b, k in zip(inputs, values["conv_dim"], values["conv_kernel"], strict=False))
    count += inputs[-1] * width
    count += width * (width // values["num_conv_pos_embedding_groups"]) * values["num_conv_pos_embeddings"]
    count += values.get("num_buckets", 0) * values["num_attention_heads"]
    return count + values["num_hidden_layers"] * (4 * width * width + 2 * width * inner)


def preprocessing(given: str, folder: Path, values: dict[str, Any]) -> tuple[bool, str]:
    """Whether the model takes recordings of zero mean and unit variance, and the file that says so.

    Without such a file (a model's `save_pretrained` and a Trainer's checkpoint write none): the published default,
    which is to normalise for models with layer norm in the feature encoder. For the others it hardly matters, because
    group norm removes offset and scale.

    Raises:
        InputError: the file is not a Wav2Vec2FeatureExtractor's, or for another sampling rate.
    """
    content, name = feature_extractor(given, folder, "Wav2Vec2FeatureExtractor")
    if content is None:
        return values.get("feat_extract_norm", "layer") == "layer", name
    normalize = content.get("do_normalize", True)
    if not isinstance(normalize, bool):
        raise InputError(f"{given}: {name} is not a Wav2Vec2FeatureExtractor's; get it again")
    return normalize, name


def feature_extractor(given: str, folder: Path, kind: str) -> tuple[dict[str, Any] | None, str]:
    """The settings of the model's feature extractor and the file that holds them; None and "default" without one.

    Raises:
        InputError: it is of another kind (transformers' name of its class), or for another sampling rate.
    """
    # The order of transformers: newer versions nest the feature extractor's settings in the processor's.
    content, name = None, PROCESSOR
    if (folder / PROCESSOR).is_file():
        nested = read_json(given, folder / PROCESSOR)
        content = nested.get("feature_extractor", nested.get("audio_processor"))
    if content is None:
        name = PREPROCESSOR
        if not (folder / name).is_file():
            return None, "default"
        content = read_json(given, folder / name)
    if not isinstance(content, dict) or content.get("feature_extractor_type", kind) != kind:
        raise InputError(f"{given}: {name} is not a {kind}'s; get it again")
    rate = content.get("sampling_rate", SAMPLE_RATE)
    if isinstance(rate, bool) or rate != SAMPLE_RATE:
        raise InputError(f"{given}: {name}: expects {shown(rate)} Hz audio; give an encoder for {SAMPLE_RATE} Hz")
    return content, name


def check_extractor(given: str, name: str, content: dict[str, Any] | None, wanted: dict[str, Any]) -> None:
    """Raise an InputError if the feature extractor's settings, as far as they are there, are not those `wanted`."""
    for key, value in wanted.items():
        found = (content or {}).get(key, value)
        if isinstance(found, bool) or found != value:
            what = f"{key} is {shown(found)}, not {value}, which this encoder needs"
            raise InputError(f"{given}: {name} is not valid: {what}; get it again, or give another model")


def digest(model_type: str, values: dict[str, Any]) -> str:
    """SHA-256 of what config.json contributes to the hidden states."""
    return hashlib.sha256(json.dumps({"model_type": model_type, **values}, sort_keys=True).encode()).hexdigest()
