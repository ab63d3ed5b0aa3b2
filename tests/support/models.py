"""Encoders of random weights in transformers' folder format, for tests and benchmarks: true shapes, no download."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

BASE = dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, intermediate_size=3072)
LARGE = dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096)
GROUP = dict(feat_extract_norm="group", do_stable_layer_norm=False, conv_bias=False)
LAYER = dict(feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True)
SMALL = dict(
    hidden_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=96,
    conv_dim=(16, 16, 24, 24, 24, 32, 32),
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=4,
    num_buckets=32,
    max_bucket_distance=64,
)
# "group" and "layer" name the norm of the convolutions, as in base and large models
SHAPES = {
    "tiny_group": SMALL | GROUP,
    "tiny_layer": SMALL | LAYER,
    "base": BASE | GROUP,
    "large": LARGE | LAYER,
}


def make_model(folder: Path, family: str, shape: str = "tiny_group", seed: int = 0, head: str = "", **changes) -> Path:
    """Write a random model of `family` (a model_type) and `shape` (a key of SHAPES); returns the folder.

    `head`: the ending of a class with a head, such as "ForCTC". `changes` override the configuration, e.g.
    `num_hidden_layers=2`. The weights are as transformers initialises them, but biases, norms and gates are moved off
    their trivial values and attention is sharp, so that a forgotten bias, norm, gate, mask or scale shows.
    """
    import torch
    import transformers

    config_class = transformers.CONFIG_MAPPING[family]
    model_class = transformers.MODEL_MAPPING[config_class]
    if head:
        model_class = getattr(transformers, model_class.__name__.removesuffix("Model") + head)
    settings = SHAPES[shape] | changes
    if family != "wavlm":
        settings = {k: v for k, v in settings.items() if k not in ("num_buckets", "max_bucket_distance")}
    torch.manual_seed(seed)
    model = model_class(config_class(**settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name or "gru_rel_pos_const" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
            if "q_proj.weight" in name or "k_proj.weight" in name or "gru_rel_pos_linear.weight" in name:
                parameter.mul_(4)
            if "rel_attn_embed" in name:
                parameter.mul_(30)
    folder = Path(folder)
    model.save_pretrained(folder)
    normalize = settings["feat_extract_norm"] == "layer"  # as the published base and large models have it
    preprocessor = {
        "do_normalize": normalize,
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": normalize,
        "sampling_rate": 16000,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor, indent=2) + "\n")
    return folder


def noise(seconds: list[float], seed: int = 0) -> list[np.ndarray]:
    """Noise of slowly changing loudness, with an offset: no clip is like its start."""
    rng = np.random.default_rng(seed)
    times = [np.arange(int(s * 16_000)) / 16_000 for s in seconds]
    waves = [0.02 + 0.1 * rng.standard_normal(len(t)) * (1.1 + np.sin(5 * t + rng.uniform(0, 6))) for t in times]
    return [wave.astype(np.float32) for wave in waves]


def spoil(folder: Path, change: Callable) -> None:
    """Replace the weights by what `change` makes of them."""
    from safetensors.torch import load_file, save_file

    weights = change(load_file(folder / "model.safetensors"))
    save_file({key: value.contiguous() for key, value in weights.items()}, folder / "model.safetensors")


def configure(folder: Path, name: str = "config.json", **changes) -> None:
    """Change keys of a JSON file of the model; None removes a key."""
    settings = json.loads((folder / name).read_text()) | changes
    (folder / name).write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))


def cut(path: Path, size: int) -> None:
    """Keep the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:size])


def to_bin(folder: Path, rename: Callable[[str], str] = str) -> None:
    """Rewrite the weights as pytorch_model.bin, with other names."""
    import torch
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    torch.save({rename(key): value for key, value in weights.items()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def make_whisper(folder: Path, seed: int = 0, **changes) -> Path:
    """Write a small random Whisper as published: `model.encoder.` and `model.decoder.` keys, biases and norms that show
    when they are forgotten, sharp attention. Returns the folder."""
    import torch
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    sizes = {"d_model": 48, "encoder_layers": 3, "encoder_attention_heads": 4, "encoder_ffn_dim": 96}
    decoder = {"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 32, "vocab_size": 60}
    tokens = {"pad_token_id": 50, "bos_token_id": 50, "eos_token_id": 50, "decoder_start_token_id": 51}
    config = WhisperConfig(**{**sizes, **decoder, **tokens, "suppress_tokens": None, **changes})
    torch.manual_seed(seed)
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
            if "q_proj.weight" in name or "k_proj.weight" in name:
                parameter.mul_(10)
            elif "layers" in name or "conv" in name:
                parameter.mul_(3)
    folder = Path(folder)
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=config.num_mel_bins).save_pretrained(folder)
    return folder


def make_moonshine(folder: Path, seed: int = 0, **changes) -> Path:
    """Write a small random Moonshine as published, decoder included; the norms do not leave it as it is."""
    import torch
    from transformers import MoonshineConfig, MoonshineForConditionalGeneration, Wav2Vec2FeatureExtractor

    encoder = {"hidden_size": 48, "intermediate_size": 96, "encoder_num_hidden_layers": 3}
    heads = {"encoder_num_attention_heads": 4, "decoder_num_attention_heads": 4}
    decoder = {"decoder_num_hidden_layers": 1, "vocab_size": 60}
    torch.manual_seed(seed)
    model = MoonshineForConditionalGeneration(MoonshineConfig(**{**encoder, **heads, **decoder, **changes}))
    _stir(model)
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    return Path(folder)


def make_parakeet(folder: Path, seed: int = 0, head: bool = True, **changes) -> Path:
    """Write a small random Parakeet, with its head for transcription or the encoder alone."""
    import torch
    from transformers import (
        ParakeetCTCConfig,
        ParakeetEncoder,
        ParakeetEncoderConfig,
        ParakeetFeatureExtractor,
        ParakeetForCTC,
    )

    blocks = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96}
    encoder = {**blocks, "subsampling_conv_channels": 16, **changes}
    torch.manual_seed(seed)
    if head:
        model = ParakeetForCTC(ParakeetCTCConfig(vocab_size=20, pad_token_id=19, encoder_config=encoder))
    else:
        model = ParakeetEncoder(ParakeetEncoderConfig(**encoder))
    _stir(model)
    model.save_pretrained(folder)
    ParakeetFeatureExtractor(feature_size=encoder.get("num_mel_bins", 80)).save_pretrained(folder)
    return Path(folder)


def _stir(model) -> None:
    """Move biases and norms off their trivial values, and make attention sharp."""
    import torch

    with torch.no_grad():
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            if name.endswith(("bias", "bias_u", "bias_v", "running_mean")) or "norm" in name and "weight" in name:
                value.add_(0.1 * torch.randn_like(value))
            elif name.endswith("running_var"):
                value.mul_(1 + torch.rand_like(value))
            elif name.endswith(("q_proj.weight", "k_proj.weight")):
                value.mul_(5)
            elif "subsampling.layers" in name:
                value.mul_(15)  # else the frames are hardly different
            elif "conv" in name or "fc" in name or "linear" in name:
                value.mul_(3)
