"""Models in transformers' format, from a folder or the hub; each way of failing is an error of one line.

transformers reads the files and runs no code of the repository. Where it would only warn, this is an error.
"""

import hashlib
import os
from pathlib import Path
from pickle import UnpicklingError

import torch

from speechemb.artifacts.provenance import sha256_file
from speechemb.audio.decoding import SAMPLE_RATE
from speechemb.encoders import wav2vec2
from speechemb.errors import InputError, first
from speechemb.paths import shown

# config.json's model_type -> the class that runs the model: `Network(model, dtype)` with `frames` and `layers` as
# wav2vec2.Network has them. A new family is a module with such a class, and a line here.
FAMILIES = {"wavlm": wav2vec2.Network, "hubert": wav2vec2.Network, "wav2vec2": wav2vec2.Network}


def from_folder(folder: Path):
    """(model, identity); the identity's revision is a hash of the files that determine the output."""
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # there is no download to watch
    given, instead = f"--model {shown(folder)}", "give a folder written by save_pretrained"
    weights = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
    files = [
        folder / "config.json",
        folder / "preprocessor_config.json",
        *(weights or [folder / "model.safetensors"]),
    ]
    if missing := [path.name for path in files if not path.is_file()]:
        raise InputError(f"{given}: has no {' and no '.join(missing)}; {instead}")
    try:
        model, config, extractor = _pretrained(given, str(folder), None)
    except (OSError, ValueError) as error:
        raise InputError(f"{given}: {_first_line(error)}; {instead}") from error
    lines = "".join(f"{sha256_file(path)}  {path.name}\n" for path in files)
    return model, _identity(folder.name, hashlib.sha256(lines.encode()).hexdigest(), config, extractor)


def from_hub(hub_id: str, revision: str):
    """(model, identity); the identity's revision is the hub's commit."""
    from speechemb import huggingface

    given = f"--model {hub_id}" + (f"@{revision}" if revision != "main" else "")
    with huggingface.readable(given, hub_id, "model", "give a folder written by save_pretrained"):
        commit = huggingface.commit(hub_id, "model", revision)
        model, config, extractor = _pretrained(given, hub_id, commit)
    return model, _identity(hub_id, commit, config, extractor)


def _identity(name: str, revision: str, config, extractor) -> dict:
    return {
        "name": name,
        "revision": revision,
        "model_type": config.model_type,
        "n_layers": config.num_hidden_layers,
        "dim": config.hidden_size,
        "do_normalize": extractor.do_normalize,
        "sampling_rate": extractor.sampling_rate,
    }


def _pretrained(given: str, source: str, revision: str | None):
    """(model in fp32, config, feature extractor).

    Raises InputError for files that cannot be used. If the source is not there, transformers' error is passed on.
    """
    # else transformers asks the hub, in a thread, to convert a repository that has only a .bin
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    import transformers
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    transformers.logging.set_verbosity_error()  # what it would warn of is checked below
    try:
        config = transformers.AutoConfig.from_pretrained(source, revision=revision)
        if config.model_type not in FAMILIES:
            raise InputError(f"{given}: is a {config.model_type} model; give one of type {', '.join(FAMILIES)}")
        model, info = transformers.AutoModel.from_pretrained(
            source, config=config, revision=revision, dtype=torch.float32, output_loading_info=True
        )
        extractor = transformers.AutoFeatureExtractor.from_pretrained(source, revision=revision)
    except SafetensorError as error:
        raise InputError(f"{given}: weights are truncated ({_first_line(error)}); get them again") from error
    except (UnpicklingError, EOFError) as error:
        raise InputError(f"{given}: pytorch_model.bin holds something other than weights; get it again") from error
    except RuntimeError as error:  # shapes that differ, a truncated .bin
        raise InputError(f"{given}: weights do not fit config.json or are truncated; get both files again") from error
    except (StrictDataclassError, KeyError) as error:
        raise InputError(f"{given}: config.json is not valid ({_first_line(error)}); get it again") from error
    _check_weights(given, info)
    _check_extractor(given, extractor)
    return model, config, extractor


def _check_weights(given: str, info: dict) -> None:
    """Raise where transformers would only warn, and use random weights for those that are missing."""
    missing = sorted(key for key in info["missing_keys"] if key != "masked_spec_embed")  # used in training only
    too_many = sorted(key for key in info["unexpected_keys"] if "encoder.layers." in key)
    if missing or too_many:
        what = (
            f"lack {first(missing, 2)}" if missing else f"hold {first(too_many, 2)}, which config.json does not ask for"
        )
        raise InputError(f"{given}: weights do not fit config.json: they {what}; get both files again")


def _check_extractor(given: str, extractor) -> None:
    if type(extractor).__name__ != "Wav2Vec2FeatureExtractor" or not isinstance(extractor.do_normalize, bool):
        raise InputError(f"{given}: preprocessor_config.json is not a Wav2Vec2FeatureExtractor's; get it again")
    if extractor.sampling_rate != SAMPLE_RATE:
        raise InputError(f"{given}: expects {extractor.sampling_rate} Hz audio; give an encoder for {SAMPLE_RATE} Hz")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(":. ")
