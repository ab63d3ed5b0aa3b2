"""Models in transformers' format, from a folder or the hub; each way of failing is an error of one line.

The files are found, read and checked here. Where transformers builds the network, it does so from plain settings and
tensors: it is never given a folder's or a repository's name, so nothing that they hold can run, load further files or
ask.
"""

import hashlib
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from speechemb.artifacts.provenance import sha256_file
from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.encoders import (
    DEFAULT_CONTEXT,
    TAGS,
    WITHOUT_HUB,
    configuration,
    modules,
    moonshine,
    parakeet,
    plain,
    wav2vec2,
    wav2vec2_bert,
    weights,
    whisper,
)
from speechemb.encoders.family import Family
from speechemb.encoders.names import like
from speechemb.errors import InputError, first
from speechemb.paths import shown

log = logging.getLogger(__name__)

# config.json's model_type -> its family. A new family is a module with a `Family`, and a line here.
FAMILIES: dict[str, Family] = {
    "wavlm": wav2vec2.FAMILY,
    "hubert": wav2vec2.FAMILY,
    "wav2vec2": wav2vec2.FAMILY,  # XLS-R and MMS too
    "unispeech": wav2vec2.FAMILY,
    "unispeech-sat": wav2vec2.FAMILY,
    "whisper": whisper.FAMILY,
    "data2vec-audio": plain.family("data2vec-audio"),
    "wav2vec2-conformer": plain.family("wav2vec2-conformer"),
    "wav2vec2-bert": wav2vec2_bert.FAMILY,  # w2v-BERT 2.0
    "sew": plain.family("sew"),
    "sew-d": plain.family("sew-d", blocks="encoder.encoder.layer."),
    "moonshine": moonshine.FAMILY,
    "parakeet_encoder": parakeet.FAMILY,
    "parakeet_ctc": parakeet.FAMILY,
    "parakeet_rnnt": parakeet.FAMILY,
    "parakeet_tdt": parakeet.FAMILY,
}
_ADAPTER = "adapter_config.json"


def network_of(identity: dict[str, Any]) -> Callable[[Any, torch.dtype], Any]:
    """What runs a loaded model with this identity: (model, dtype) -> the family's network."""
    family = FAMILIES[identity["model_type"]]
    return partial(family.network, context=identity["context"]) if family.contexts else family.network


def check_quantises(model_type: str) -> None:
    """Raise an InputError for a family that transformers computes: only the others have products in int8."""
    if not FAMILIES[model_type].modules:
        those = ", ".join(name for name, family in FAMILIES.items() if family.modules)
        raise InputError(f"--precision int8 is for {those}, not for a {model_type} model: use --precision auto or fp32")


def from_folder(folder: Path, context: str | None) -> tuple[Any, dict[str, Any]]:
    """(model, identity); the identity's revision is a hash of the files that determine the output.

    `context`: which of the family's contexts; another one than those stands for the default.
    """
    given = f"--model {shown(folder)}"

    def get(name: str) -> Path | None:
        return path if (path := folder / name).is_file() else None

    return _load(given, folder, get, folder.name, None, context)


def from_hub(hub_id: str, revision: str, context: str | None) -> tuple[Any, dict[str, Any]]:
    """The same of a repository on the hub; the identity's revision is the hub's commit."""
    from speechemb import huggingface

    given = f"--model {hub_id}" + (f"@{revision}" if revision != "main" else "")
    near = "" if hub_id in TAGS.values() else like(hub_id)
    with huggingface.readable(given, hub_id, "model", f"give a model's folder, or {WITHOUT_HUB}{near}"):
        commit = huggingface.commit(hub_id, "model", revision)
        optional = (configuration.PROCESSOR, configuration.PREPROCESSOR, *weights.FILES[:-1])
        get = huggingface.fetching(hub_id, commit, optional)
        config = get(configuration.CONFIG)
        if config is None:
            raise InputError(f"{given}: has no {configuration.CONFIG}; give a repository that holds a model's weights")
        for name in (configuration.PROCESSOR, configuration.PREPROCESSOR):
            get(name)
        return _load(given, config.parent, get, hub_id, commit, context)


def _load(
    given: str, folder: Path, get: Callable[[str], Path | None], name: str, commit: str | None, context: str | None
) -> tuple[Any, dict[str, Any]]:
    """(model in fp32, identity) of the files in `folder`; `get` gives the path of one of them, or None.

    Raises:
        InputError: files are missing or cannot be used.
    """
    if (config := get(configuration.CONFIG)) is None:
        raise InputError(f"{given}: has no {configuration.CONFIG}; give a folder that holds a model's weights")
    if (folder / _ADAPTER).is_file():
        raise InputError(f"{given}: {_ADAPTER}: adapters are not applied; merge it into the model and give that")
    content = configuration.read_json(given, config)
    family, model_type = _family(given, content.get("model_type"))
    settings = family.settings(given, content, *_known(family, model_type, content))
    normalize, source = family.preprocessing(given, folder, settings)
    files = weights.files_of(given, get, content.get("transformers_weights"))
    configuration.check_size(given, family.parameters(settings), sum(path.stat().st_size for path in files))
    model = _built(given, family, model_type, settings, weights.read(given, files, family.renamed))
    if source == "default":
        how = "normalised to zero mean and unit variance" if normalize else "not normalised"
        log.warning("%s: has no %s; recordings are %s", given, configuration.PREPROCESSOR, how)
    if damaged := weights.not_finite(model):
        log.warning("%s: the weights hold numbers that are not finite, in %s", given, first(damaged, 2))
    extras = [folder / source] if source != "default" else []
    identity = {
        "name": name,
        "revision": commit or _revision([config, *extras, *files]),
        "model_type": model_type,
        "n_layers": model.config.num_hidden_layers,
        "dim": model.config.hidden_size,
        "do_normalize": normalize,
        "sampling_rate": SAMPLE_RATE,
        "preprocessor": source,
        "config_sha256": configuration.digest(model_type, settings),
        "weights_sha256": weights.digest(model),
    }
    if family.contexts:
        identity["context"] = context if context in family.contexts else DEFAULT_CONTEXT
    return model, identity


def _family(given: str, model_type: Any) -> tuple[Family, str]:
    """The family of a model of config.json's `model_type`, and the model_type of its encoder.

    Raises:
        InputError: there is none; the error lists those that there are.
    """
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        what = f"is a {model_type} model" if isinstance(model_type, str) else "config.json names no model_type"
        raise InputError(f"{given}: {what}; give one of type {', '.join(FAMILIES)}")
    family = FAMILIES[model_type]
    return family, family.encoder_type or model_type


def _revision(files: list[Path]) -> str:
    lines = "".join(f"{sha256_file(path)}  {path.name}\n" for path in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _built(given: str, family: Family, model_type: str, settings: dict[str, Any], tensors: dict[str, Any]) -> Any:
    """The model with these weights, in fp32."""
    try:
        if family.modules:
            with torch.device("meta"):
                model = family.modules(settings)
            missing, too_many = modules.fill(model, tensors)
        else:
            model, missing, too_many = _of_transformers(family, model_type, settings, tensors)
    except RuntimeError as error:  # shapes that differ
        raise InputError(f"{given}: weights do not fit config.json; get both files again") from error
    missing = sorted(key for key in missing if weights.is_used(key))
    too_many = sorted(key for key in too_many if family.required in key)
    # transformers would only warn, and use random weights for those that are missing
    if missing or too_many:
        what = f"lack {first(missing, 2)}" if missing else f"hold {first(too_many, 2)}, which config.json does not have"
        raise InputError(f"{given}: weights do not fit config.json: they {what}; get both files again")
    return model


def _of_transformers(family: Family, model_type: str, settings: dict[str, Any], tensors: dict[str, Any]) -> Any:
    """transformers' model; the names of weights that are missing, and of those that it does not have."""
    import transformers

    transformers.logging.set_verbosity_error()  # what it would warn of is an error of `_built`
    transformers.logging.disable_progress_bar()
    config = transformers.CONFIG_MAPPING[model_type](**settings)
    class_of: Any = family.model_class or transformers.MODEL_MAPPING.__getitem__
    model, info = class_of(type(config)).from_pretrained(
        None, config=config, state_dict=tensors, dtype=torch.float32, output_loading_info=True
    )
    return model, info["missing_keys"], info["unexpected_keys"]


def _known(family: Family, model_type: str, content: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The default of every key of config.json in a family, and the names of activation functions."""
    if family.modules:
        return modules.defaults(model_type), modules.activations(content)
    import transformers
    from transformers.activations import ACT2FN

    return transformers.CONFIG_MAPPING[model_type]().to_dict(), set(ACT2FN)
