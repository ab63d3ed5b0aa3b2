"""Encoders against transformers' own models, one clip at a time; and everything that can be wrong with a model."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from models import make_model, noise, spoil
from speechemb import encoders
from speechemb.errors import InputError

METHODS = ["mean", "std", "max", "first", "last"]
SECONDS = [1.3, 0.1, 2.2, 0.7, 2.2, 0.31, 1.9, 1.3, 0.05, 2.0, 0.5, 1.1, 1.7, 0.9, 1.05, 0.4]


def reference(folder: Path, waves: list[np.ndarray]) -> list[list[torch.Tensor]]:
    """transformers' hidden states (T, D) of each clip alone, layer by layer."""
    from transformers import AutoFeatureExtractor

    extractor = AutoFeatureExtractor.from_pretrained(folder)
    return states_of(folder, [extractor(wave, sampling_rate=16_000).input_values[0] for wave in waves])


def states_of(folder: Path, values: list[np.ndarray]) -> list[list[torch.Tensor]]:
    """The same for values that are normalised already."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        outputs = [model(torch.from_numpy(value)[None], output_hidden_states=True).hidden_states for value in values]
    return [[state[0] for state in states] for states in outputs]


def pooled(states: list[torch.Tensor]) -> np.ndarray:
    """(layers, 5 D): METHODS over the frames."""
    rows = [torch.cat([s.mean(0), s.std(0, correction=0), s.amax(0), s[0], s[-1]]) for s in states]
    return torch.stack(rows).numpy()


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest relative error of a pooled vector, method by method."""
    found, wanted = (np.stack(np.split(x, len(METHODS), axis=-1)) for x in (found, wanted))
    return float((np.linalg.norm(found - wanted, axis=-1) / (np.linalg.norm(wanted, axis=-1) + 1e-6)).max())


def cosine(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return (found * wanted).sum(-1) / np.linalg.norm(found, axis=-1) / np.linalg.norm(wanted, axis=-1)


def check_invariance(folder: Path, waves: list[np.ndarray]) -> None:
    encoder = encoders.load(str(folder), "cpu", "fp32")
    layers = list(range(encoder.n_layers + 1))
    together = encoder.embed(waves, layers, METHODS)
    assert together.shape == (len(waves), len(layers), 5 * encoder.dim) and together.dtype == np.float32
    alone = np.concatenate([encoder.embed([wave], layers, METHODS) for wave in waves])
    theirs = np.stack([pooled(states) for states in reference(folder, waves)])
    assert error(together, alone) <= 1e-4
    assert error(together, theirs) <= 1e-4


def check_workers(folder: Path, waves: list[np.ndarray], precision: str = "fp32") -> None:
    encoder = encoders.load(str(folder), "cpu", precision)
    layers, made_by = list(range(encoder.n_layers + 1)), []
    for workers in (1, 4):
        with ThreadPoolExecutor(workers, initializer=encoder.start_worker) as pool:
            made_by.append(list(pool.map(lambda wave: encoder.embed([wave], layers, METHODS), waves)))
    for one, other in zip(*made_by, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", ["tiny_group", "tiny_layer"])
@pytest.mark.parametrize("family", ["wavlm", "hubert", "wav2vec2"])
def test_an_embedding_does_not_depend_on_its_batch(tmp_path, family, shape):
    check_invariance(make_model(tmp_path / "model", family, shape), noise(SECONDS))


@pytest.mark.slow
@pytest.mark.parametrize("family, shape", [("wavlm", "base"), ("hubert", "large"), ("wavlm", "large")])
def test_nor_at_full_width(tmp_path, family, shape):
    folder = make_model(tmp_path / "model", family, shape, num_hidden_layers=2)
    check_invariance(folder, noise([0.9, 0.3, 1.2]))


@pytest.mark.slow
@pytest.mark.parametrize(
    "family, shape, changes",
    [
        ("wavlm", "tiny_group", {"do_stable_layer_norm": True}),
        ("wav2vec2", "tiny_layer", {"do_stable_layer_norm": False}),
        ("hubert", "tiny_group", {"feat_proj_layer_norm": False, "conv_bias": True}),  # as DistilHuBERT has it
        ("hubert", "tiny_group", {"conv_pos_batch_norm": True}),
        ("hubert", "tiny_layer", {"hidden_act": "gelu_new", "feat_extract_activation": "relu"}),
        ("wav2vec2", "tiny_layer", {"adapter_attn_dim": 8}),  # as MMS has it
        ("wav2vec2", "tiny_group", {"num_conv_pos_embeddings": 15}),
    ],
)
def test_rarer_configurations(tmp_path, family, shape, changes):
    check_invariance(make_model(tmp_path / "model", family, shape, **changes), noise([0.9, 0.3, 1.2]))


@pytest.mark.parametrize("family, shape", [("wavlm", "tiny_group"), ("hubert", "tiny_layer")])
def test_with_and_without_packed_products_the_result_is_the_same(tmp_path, monkeypatch, family, shape):
    """The products of a CPU with AVX-512, those of one with AVX2 alone, and those of other devices, on either CPU."""
    folder, waves = make_model(tmp_path / "model", family, shape), noise([0.9, 0.9, 0.3])

    def embedded(capability: str) -> np.ndarray:
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
        return encoders.load(str(folder), "cpu", "fp32").embed(waves, [0, 3], METHODS)

    packed, plain = embedded("AVX512"), embedded("AVX2")
    assert error(plain, packed) <= 1e-4 and not np.array_equal(plain, packed)
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", False)
    assert error(embedded("AVX512"), plain) <= 1e-4


def test_the_positional_convolution_of_clips_longer_than_a_transform(tmp_path):
    """Published kernels have 128 frames, and their transforms give 129: clips of one piece, just two, and three."""
    folder = make_model(tmp_path / "model", "wav2vec2", num_conv_pos_embeddings=128)
    check_invariance(folder, noise([2.59, 2.61, 0.2, 5.9]))


def real_clips(shared: Path, n: int) -> list[np.ndarray]:
    from speechemb.audio import decoding

    files = sorted(path for path in (shared / "data" / "ravdess").rglob("03-01-*") if path.is_file())
    return [decoding.load(path) for path in files[:: len(files) // n][:n]]


def test_wavlm_nano_on_real_speech(shared):
    check_invariance(shared / "encoder" / "wavlm-nano", real_clips(shared, 6))


SLOW = (pytest.param(model, marks=pytest.mark.slow) for model in ("wavlm base", "hubert large"))


@pytest.mark.slow
@pytest.mark.parametrize("model", ["nano", *SLOW])
def test_bf16_is_close_to_fp32(model, tmp_path, shared):
    if model == "nano":
        folder = shared / "encoder" / "wavlm-nano"
    else:
        folder = make_model(tmp_path / "model", *model.split(), num_hidden_layers=2)
    waves = [wave[:30_000] for wave in real_clips(shared, 2)]
    results = []
    for precision in ("fp32", "bf16"):
        encoder = encoders.load(str(folder), "cpu", precision)
        results.append(encoder.embed(waves, list(range(encoder.n_layers + 1)), ["mean", "std"]))
        assert encoder.precision == precision
    full, low = results
    for part in range(2):
        half = slice(part * encoder.dim, (part + 1) * encoder.dim)
        assert cosine(low[..., half], full[..., half]).min() >= 0.999
    assert not np.array_equal(low, full)


@pytest.mark.slow
@pytest.mark.parametrize("groups", [6, 4, 3, 2])
def test_bf16_is_close_to_fp32_however_few_channels_a_group_of_the_positional_convolution_has(tmp_path, groups):
    """8, 12, 16 and 24 channels: oneDNN's own bf16 convolution is wrong below 16 on processors with AMX."""
    folder = make_model(tmp_path / "model", "wavlm", num_conv_pos_embedding_groups=groups)
    full, low = (encoders.load(str(folder), "cpu", p).embed(noise([0.5, 0.8]), [0], ["mean"]) for p in ("fp32", "bf16"))
    assert cosine(low, full).min() >= 0.999


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["tiny_group", "tiny_layer"])
def test_long_recordings_are_pooled_over_all_windows(tmp_path, shape):
    """75 s are three windows of 25 s; normalised as a whole, where the model asks for it."""
    folder = make_model(tmp_path / "model", "wavlm", shape)
    long, short = noise([75.0, 0.5])
    long[: len(long) // 2] *= 0.1  # normalising window by window would show
    found = encoders.load(str(folder), "cpu", "fp32").embed([short, long, short], [0, 1, 3], METHODS)

    values = (long - long.mean()) / np.sqrt(long.var() + 1e-7) if shape == "tiny_layer" else long
    windows = states_of(folder, np.split(values, 3))
    frames = [torch.cat([window[n] for window in windows]) for n in (0, 1, 3)]
    assert error(found[1], pooled(frames)) <= 1e-4
    states = reference(folder, [short])[0]
    assert error(found[0], pooled([states[n] for n in (0, 1, 3)])) <= 1e-4
    np.testing.assert_array_equal(found[0], found[2])


class Drawn:
    """A recording that is never in memory: noise drawn window by window, and how much of it was at a time."""

    def __init__(self, seconds: int) -> None:
        self.seconds, self.largest = seconds, 0

    def __len__(self) -> int:
        return self.seconds * 16_000

    def whole(self) -> np.ndarray:
        """The recording as an array."""
        return np.concatenate(list(self.pieces([len(self)])))

    def mean_and_variance(self) -> tuple[float, float]:
        """As step 2's recordings give it."""
        wave = self.whole().astype(np.float64)
        return wave.mean(), wave.var()

    def pieces(self, lengths: list[int]):
        """As step 2's recordings give them."""
        blocks = (0.02 + 0.1 * np.random.default_rng(i).standard_normal(16_000) for i in range(self.seconds))
        rest = np.empty(0)
        for length in lengths:
            while len(rest) < length:
                rest = np.concatenate([rest, next(blocks)])
            self.largest = max(self.largest, length)
            yield rest[:length].astype(np.float32)
            rest = rest[length:]


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["tiny_group", "tiny_layer"])
@pytest.mark.parametrize("seconds", [29, 31, 100])
def test_a_recording_read_window_by_window_is_as_the_whole(tmp_path, shape, seconds):
    """Beside clips in memory, whose bytes do not change."""
    encoder = encoders.load(str(make_model(tmp_path / "model", "wavlm", shape)), "cpu", "fp32")
    long, (clip,) = Drawn(seconds), noise([0.5])
    found = encoder.embed([clip, long, clip], [0, 3], METHODS)
    wanted = encoder.embed([clip, long.whole(), clip], [0, 3], METHODS)
    np.testing.assert_array_equal(found[[0, 2]], wanted[[0, 2]])
    if shape == "tiny_group":
        np.testing.assert_array_equal(found, wanted)
    assert error(found[1], wanted[1]) <= 1e-4


def test_windows_are_those_of_array_split():
    from speechemb.encoders.windows import windows

    for samples in (400, 480_000, 480_001, 960_000, 960_001, 1_234_567):
        wave = np.arange(samples, dtype=np.float32)
        split = np.array_split(wave, -(-samples // 480_000))
        for found, wanted in zip(windows(wave, normalize=False), split, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_chosen_layers_and_methods_are_those_of_the_full_run(tmp_path):
    encoder = encoders.load(str(make_model(tmp_path / "model", "hubert", "tiny_layer")), "cpu", "fp32")
    waves = noise([0.5, 0.8])
    full = encoder.embed(waves, [0, 1, 2, 3], ["mean", "max"])
    some = encoder.embed(waves, [2, 0], ["max"])
    np.testing.assert_array_equal(some, full[:, [2, 0], encoder.dim :])


def test_layers_above_the_highest_are_not_computed(tmp_path):
    """Weights of a block that would spoil everything after it."""
    folder = make_model(tmp_path / "model", "wavlm")
    spoil(folder, lambda w: w | {k: v * float("nan") for k, v in w.items() if "encoder.layers.2." in k})
    encoder = encoders.load(str(folder), "cpu", "fp32")
    assert np.isfinite(encoder.embed(noise([0.5]), [0, 2], ["mean"])).all()
    assert np.isnan(encoder.embed(noise([0.5]), [3], ["mean"])).all()


def test_what_cannot_be_embedded(tmp_path):
    encoder = encoders.load(str(make_model(tmp_path / "model", "wavlm")), "cpu", "fp32")
    with pytest.raises(ValueError, match="399 samples"):
        encoder.embed([np.ones(399, np.float32)], [0], ["mean"])
    assert encoder.embed([np.ones(400, np.float32)], [0], ["mean"]).shape == (1, 1, 48)
    with pytest.raises(ValueError, match="layers 0 to 3, not 4"):
        encoder.embed(noise([0.5]), [0, 4], ["mean"])


def test_silence_is_as_in_transformers(tmp_path):
    folder = make_model(tmp_path / "model", "wavlm", "tiny_layer")
    silence = np.zeros(8000, np.float32)
    found = encoders.load(str(folder), "cpu", "fp32").embed([silence], [0, 1, 2, 3], METHODS)
    assert np.abs(found[0] - pooled(reference(folder, [silence])[0])).max() < 1e-4


# ------------------------------------------------------------------------------------------------- precision

needs_bf16 = pytest.mark.skipif(
    not torch.cpu.get_capabilities().get("avx512_bf16"), reason="this processor has no bf16 arithmetic"
)


@needs_bf16
def test_auto_takes_bf16_where_it_is_close(tmp_path, caplog):
    encoder = encoders.load(str(make_model(tmp_path / "model", "wavlm")), "cpu", "auto")
    encoder.embed(noise([0.5, 0.8]), [0, 3], ["mean"])
    assert encoder.precision == "bf16" and not caplog.records


@needs_bf16
def test_auto_checks_models_with_attention_adapters(tmp_path):
    """Their adapters are the only modules that run as they are, in two precisions during the check."""
    folder = make_model(tmp_path / "model", "wav2vec2", "tiny_layer", adapter_attn_dim=8)
    encoder = encoders.load(str(folder), "cpu", "auto")
    encoder.embed(noise([0.5]), [3], ["mean"])
    assert encoder.precision == "bf16"


@needs_bf16
def test_auto_continues_in_fp32_where_bf16_is_too_far_off(tmp_path, caplog):
    """Hidden states that differ by less than bf16 resolves, on a large offset that the next layer norm removes."""
    folder = make_model(tmp_path / "model", "hubert")
    offset = "encoder.pos_conv_embed.conv.bias"
    spoil(folder, lambda w: w | {offset: w[offset] + 3e4})
    waves = noise([0.5, 0.8])
    encoder = encoders.load(str(folder), "cpu", "auto")
    with caplog.at_level(logging.WARNING):
        found = encoder.embed(waves, [0, 3], ["mean"])
    assert encoder.precision == "fp32" and "continuing in fp32" in caplog.text
    np.testing.assert_array_equal(found, encoders.load(str(folder), "cpu", "fp32").embed(waves, [0, 3], ["mean"]))


def test_precisions_and_devices_that_are_not_there(tmp_path):
    folder = str(make_model(tmp_path / "model", "wavlm"))
    for device, precision, words in (
        ("cpu", "fp8", "--precision fp8"),
        ("cpu", "fp16", "fp16 needs a CUDA device"),
        ("tpu", "fp32", "--device tpu"),
    ):
        with pytest.raises(InputError, match=words):
            encoders.load(folder, device, precision)
