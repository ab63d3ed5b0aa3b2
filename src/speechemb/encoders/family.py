"""What sets one family of pretrained encoders apart from another: how its files are checked, and what runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Family:
    """The parts of a family; `--model M` is what they call the model in their errors.

    All but `network` are given files that may come from anywhere, and raise an InputError of one line.
    """

    # (model, dtype) -> an object with `frames`, `cost` and `layers` as wav2vec2.Network has them. A family with
    # `contexts` is also given one of them.
    network: Callable[..., Any]
    # ("--model M", config.json, default of every key, activation functions) -> the keys that shape the hidden states
    settings: Callable[[str, dict[str, Any], dict[str, Any], set[str]], dict[str, Any]]
    # settings -> number of parameters
    parameters: Callable[[dict[str, Any]], int]
    # ("--model M", folder, settings) -> whether recordings are normalised, and the file that says so or "default"
    preprocessing: Callable[[str, Path, dict[str, Any]], tuple[bool, str]]
    # Weights with this in their name must all be in the model.
    required: str
    # settings -> the modules that hold the weights; without it, transformers' model is used
    modules: Callable[[dict[str, Any]], Any] | None = None
    # transformers' configuration class -> the class of the model, if it is not the usual one
    model_class: Callable[[type], Any] | None = None
    # name of a stored weight -> its name in the model; empty: not read
    renamed: Callable[[str], str] = str
    # model_type of the encoder, where config.json may be of a model around it
    encoder_type: str = ""
    # choices of --context, if there are several
    contexts: tuple[str, ...] = ()
