"""The modules of wav2vec 2.0's family and of Whisper's encoder, with transformers' names: they hold a model's weights.

Their forward passes are wav2vec2.Network and whisper.Network, so they have none. transformers could make them too, but
importing its models takes longer than extracting a small corpus.
"""

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

_ACTIVATION_KEYS = ("hidden_act", "feat_extract_activation", "activation_function")
_PREFIXES = ("wavlm.", "hubert.", "wav2vec2.", "unispeech.", "unispeech_sat.")  # before the body's names, with a head
_OLD_NAMES = {".weight_g": ".parametrizations.weight.original0", ".weight_v": ".parametrizations.weight.original1"}
_WAV2VEC2 = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": False,
    "do_stable_layer_norm": False,
    "layer_norm_eps": 1e-5,
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "feat_extract_norm": "group",
}
_OWN = {
    "wavlm": {"num_buckets": 320, "max_bucket_distance": 800},
    "hubert": {"feat_proj_layer_norm": True, "conv_pos_batch_norm": False},
    "wav2vec2": {"adapter_attn_dim": None},
}
_WHISPER = {
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "num_mel_bins": 80,
    "max_source_positions": 1500,
    "activation_function": "gelu",
}


def defaults(model_type: str) -> dict[str, Any]:
    """The defaults of transformers' configuration for the keys of config.json that shape the hidden states."""
    return _WHISPER if model_type == "whisper" else _WAV2VEC2 | _OWN.get(model_type, {})


def activations(content: dict[str, Any]) -> set[str]:
    """The names of activation functions that config.json may use: all of transformers', if it uses others than GELU."""
    if all(content.get(key, "gelu") == "gelu" for key in _ACTIVATION_KEYS):
        return {"gelu"}
    from transformers.activations import ACT2FN

    return set(ACT2FN)


def _activation(name: str) -> nn.Module:
    if name == "gelu":
        return nn.GELU()
    from transformers.activations import ACT2FN

    return ACT2FN[name]


def renamed(stored: str) -> str:
    """A stored weight's name in `wav2vec2_model`: without the prefix of a model with a head, and as torch has named the
    parts of a weight norm since version 2."""
    for prefix in _PREFIXES:
        stored = stored.removeprefix(prefix)
    for old, new in _OLD_NAMES.items():
        stored = stored.removesuffix(old) + new if stored.endswith(old) else stored
    return stored


def wav2vec2_model(settings: dict[str, Any]) -> nn.Module:
    """The body of a WavLM, HuBERT, wav2vec 2.0 or UniSpeech model with these settings, without weights."""
    config = SimpleNamespace(**settings)
    inputs = [1, *config.conv_dim]
    geometry = zip(inputs, config.conv_dim, config.conv_kernel, config.conv_stride, strict=False)
    convolutions = [_convolution(i, shape, config) for i, shape in enumerate(geometry)]
    projection = _holder(projection=nn.Linear(inputs[-1], config.hidden_size))
    if settings.get("feat_proj_layer_norm", True):
        projection.layer_norm = _norm(inputs[-1], config)
    encoder = _holder(
        pos_conv_embed=_position(config),
        layer_norm=_norm(config.hidden_size, config),
        layers=nn.ModuleList(_block(i, config) for i in range(config.num_hidden_layers)),
    )
    extractor = _holder(conv_layers=nn.ModuleList(convolutions))
    return _model(config, feature_extractor=extractor, feature_projection=projection, encoder=encoder)


def _convolution(i: int, shape: tuple[int, int, int, int], config: Any) -> nn.Module:
    channels, found, kernel, stride = shape
    layer = _holder(
        conv=nn.Conv1d(channels, found, kernel, stride, bias=config.conv_bias),
        activation=_activation(config.feat_extract_activation),
    )
    if config.feat_extract_norm == "layer":
        layer.layer_norm = nn.LayerNorm(found)
    elif i == 0:
        layer.layer_norm = nn.GroupNorm(found, found)
    return layer


def _position(config: Any) -> nn.Module:
    width, kernel = config.hidden_size, config.num_conv_pos_embeddings
    groups = config.num_conv_pos_embedding_groups
    activation = _activation(config.feat_extract_activation)
    with torch.device("cpu"):  # weight norm computes; on the device "meta" that imports torch's compiler
        conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)
    if getattr(config, "conv_pos_batch_norm", False):
        return _holder(conv=conv, activation=activation, batch_norm=nn.BatchNorm1d(width))
    return _holder(conv=weight_norm(conv, dim=2), activation=activation)


def _block(i: int, config: Any) -> nn.Module:
    width = config.hidden_size
    attention = _holder(**{f"{name}_proj": nn.Linear(width, width) for name in ("k", "v", "q", "out")})
    if hasattr(config, "num_buckets"):  # WavLM
        heads = config.num_attention_heads
        attention.gru_rel_pos_const = nn.Parameter(torch.ones(1, heads, 1, 1))
        attention.gru_rel_pos_linear = nn.Linear(width // heads, 8)
        if i == 0:
            attention.rel_attn_embed = _embedding(config.num_buckets, heads)
    feed_forward = _holder(
        intermediate_dense=nn.Linear(width, config.intermediate_size),
        intermediate_act_fn=_activation(config.hidden_act),
        output_dense=nn.Linear(config.intermediate_size, width),
    )
    norms = {name: _norm(width, config) for name in ("layer_norm", "final_layer_norm")}
    block = _holder(attention=attention, feed_forward=feed_forward, **norms)
    adapter = getattr(config, "adapter_attn_dim", None)
    if adapter is not None and config.do_stable_layer_norm:
        block.adapter_layer = nn.Sequential()
        parts = nn.LayerNorm(width), nn.Linear(width, adapter), nn.ReLU(), nn.Linear(adapter, width)
        for name, part in zip(("norm", "linear_1", "act_fn", "linear_2"), parts, strict=True):
            block.adapter_layer.add_module(name, part)
    return block


def _embedding(rows: int, width: int) -> nn.Embedding:
    # not drawn at random: as with weight norm, that imports torch's compiler on the device "meta"
    return nn.Embedding.from_pretrained(torch.empty(rows, width))


def _norm(width: int, config: Any) -> nn.LayerNorm:
    return nn.LayerNorm(width, eps=config.layer_norm_eps)


def whisper_encoder(settings: dict[str, Any]) -> nn.Module:
    """A Whisper encoder with these settings, without weights."""
    sizes = {"num_hidden_layers": settings["encoder_layers"], "hidden_size": settings["d_model"]}
    config = SimpleNamespace(**settings, **sizes)
    width = config.d_model
    return _model(
        config,
        conv1=nn.Conv1d(config.num_mel_bins, width, kernel_size=3, padding=1),
        conv2=nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1),
        embed_positions=_embedding(config.max_source_positions, width),
        layers=nn.ModuleList(_whisper_block(config) for _ in range(config.encoder_layers)),
        layer_norm=nn.LayerNorm(width),
    )


def _whisper_block(config: Any) -> nn.Module:
    width, inner = config.d_model, config.encoder_ffn_dim
    projections = {f"{name}_proj": nn.Linear(width, width, bias=name != "k") for name in ("k", "v", "q", "out")}
    return _holder(
        self_attn=_holder(**projections),
        self_attn_layer_norm=nn.LayerNorm(width),
        activation_fn=_activation(config.activation_function),
        fc1=nn.Linear(width, inner),
        fc2=nn.Linear(inner, width),
        final_layer_norm=nn.LayerNorm(width),
    )


def _holder(**modules: nn.Module) -> Any:
    """A module whose parts are these."""
    holder = nn.Module()
    for name, module in modules.items():
        setattr(holder, name, module)
    return holder


def _model(config: Any, **modules: nn.Module) -> nn.Module:
    model: Any = _holder(**modules)
    model.config = config
    return model


def fill(model: nn.Module, tensors: dict[str, torch.Tensor]) -> tuple[list[str], list[str]]:
    """Give a model made on the device "meta" its weights, as float32 on the CPU.

    Returns the names of weights that are missing and of those that the model does not have.

    Raises:
        RuntimeError: a weight has another shape.
    """
    own = model.state_dict()
    missing = sorted(own.keys() - tensors.keys())
    given = {key: tensors[key].float() for key in own.keys() & tensors.keys()}
    for key in missing:  # training's own; others are an error of the caller's
        given[key] = torch.zeros(own[key].shape, dtype=own[key].dtype)
    model.load_state_dict(given, assign=True)
    return missing, sorted(tensors.keys() - own.keys())
