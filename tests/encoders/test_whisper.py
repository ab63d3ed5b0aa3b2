"""Whisper's encoder against transformers, one clip at a time, in both contexts; and its folders, however damaged."""

import json
from pathlib import Path

import made
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_encoders import METHODS, SECONDS, Drawn, cosine, error, pooled, real_clips

from models import configure, make_model, make_whisper, noise, spoil, to_bin
from speechemb import encoders
from speechemb.encoders import CONTEXTS, whisper
from speechemb.encoders.log_mel import LogMel
from speechemb.errors import InputError

LOUD_END = np.concatenate([1e-4 * noise([1.0])[0], noise([0.3], seed=1)[0]])  # the clamp is the loudest sound's


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_whisper(tmp_path_factory.mktemp("whisper") / "model")


def states_of(folder: Path, waves: list[np.ndarray], context: str) -> list[list[torch.Tensor]]:
    """transformers' hidden states (T, D) of each clip alone over its own frames, layer by layer."""
    from transformers import WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperForConditionalGeneration

    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    loaded = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model: WhisperEncoder = loaded.model.encoder.eval()
    found = []
    for wave in waves:
        features = extractor(wave, sampling_rate=16_000, return_tensors="pt").input_features
        own = ((len(wave) // 160) - 1) // 2 + 1
        with torch.no_grad():
            if context == "window":
                states = model(features, output_hidden_states=True).hidden_states
            else:
                states = clip_states(model, features[..., : len(wave) // 160])
        found.append([state[0, :own] for state in states])
        assert context == "window" or states[0].shape[1] == own
    return found


def clip_states(model, features: torch.Tensor) -> list[torch.Tensor]:
    """Whisper's modules over a log-mel of any length; transformers' `forward` takes 30 s only."""
    x = torch.nn.functional.gelu(model.conv1(features))
    x = torch.nn.functional.gelu(model.conv2(x)).transpose(1, 2)
    states = [x + model.embed_positions.weight[: x.shape[1]]]
    for layer in model.layers:
        states.append(layer(states[-1], None))
    return [*states[:-1], model.layer_norm(states[-1])]


def check(folder: Path, waves: list[np.ndarray], context: str) -> None:
    """Equal to transformers, and the same in a batch as alone."""
    encoder = encoders.load(str(folder), "cpu", "fp32", context)
    layers = list(range(encoder.n_layers + 1))
    together = encoder.embed(waves, layers, METHODS)
    theirs = np.stack([pooled(states) for states in states_of(folder, waves, context)])
    assert together.shape == theirs.shape and together.dtype == np.float32
    assert error(together, theirs) <= 1e-4
    some = slice(0, 3)
    alone = np.concatenate([encoder.embed([wave], layers, METHODS) for wave in waves[some]])
    assert error(together[some], alone) <= 1e-4


@pytest.mark.parametrize("context", CONTEXTS)
def test_hidden_states_are_those_of_transformers_in_any_batch(folder, context):
    waves = noise(SECONDS if context == "clip" else SECONDS[:3])
    check(folder, [*waves, LOUD_END, np.zeros(8000, np.float32)], context)


@pytest.mark.slow
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize(
    "changes", [{"num_mel_bins": 128}, {"activation_function": "relu", "encoder_attention_heads": 3}], ids=str
)
def test_rarer_configurations(tmp_path, context, changes):
    check(make_whisper(tmp_path / "model", **changes), noise([0.9, 0.3]), context)


@pytest.mark.parametrize("name", ["whisper-tiny.en", "whisper-base"])
@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.slow
def test_published_encoders_on_real_speech(shared, name, context):
    check(published(shared, name), real_clips(shared, 2), context)


def published(shared: Path, name: str) -> Path:
    folder = shared / "encoder" / name
    if not folder.is_dir():
        pytest.skip(f"no ../shared/encoder/{name} beside the checkout: this test needs the published encoder")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whisper-tiny.en", "whisper-base"])
@pytest.mark.parametrize("context", CONTEXTS)
def test_bf16_is_close_to_fp32(shared, name, context):
    waves = real_clips(shared, 1)
    full, low = (
        encoders.load(str(published(shared, name)), "cpu", precision, context).embed(waves, [0, 2, 4], ["mean"])
        for precision in ("fp32", "bf16")
    )
    assert cosine(low, full).min() >= 0.999 and not np.array_equal(low, full)


@pytest.mark.parametrize("samples", [160, 161, 479, 480, 5_000, 479_800, 479_839, 479_840, 479_999, 480_000])
def test_the_log_mel_is_the_published_one(samples):
    """Also where the clip reaches the mirrored end of the window, and beside clips with another loudest sound."""
    from transformers import WhisperFeatureExtractor

    waves = [noise([30.0])[0][:samples], LOUD_END, np.zeros(8000, np.float32)]
    theirs = WhisperFeatureExtractor()(waves, sampling_rate=16_000, return_tensors="pt").input_features
    ours = LogMel(80, torch.device("cpu"))([torch.from_numpy(wave) for wave in waves], [3000, 130, 3000])
    assert [len(clip) for clip in ours] == [3000, 130, 3000]
    for clip, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(clip.T, wanted[:, : len(clip)], rtol=0, atol=1e-6)


def test_frames_are_those_of_the_log_mel_and_the_strides(folder):
    network = encoders.load(str(folder), "cpu", "fp32", "clip")._network
    for samples in (160, 319, 320, 479, 480, 16_000, 16_159, 480_000):
        states = next(network.layers([torch.ones(samples)], 0))
        assert states[0].shape[1] == network.frames(samples) == -(-(samples // 160) // 2)
    encoder = encoders.load(str(folder), "cpu", "fp32")
    with pytest.raises(ValueError, match="159 samples is too short"):
        encoder.embed([np.ones(159, np.float32)], [0], ["mean"])


@pytest.mark.slow
@pytest.mark.parametrize("context", CONTEXTS)
def test_long_recordings_are_pooled_over_all_windows(folder, context):
    """75 s are three windows of 25 s; read window by window it is the same."""
    (long,) = noise([75.0])
    encoder = encoders.load(str(folder), "cpu", "fp32", context)
    found = encoder.embed([long, long[:8000]], [0, 3], METHODS)
    windows = states_of(folder, np.split(long, 3), context)
    frames = [torch.cat([window[n] for window in windows]) for n in (0, 3)]
    assert error(found[0], pooled(frames)) <= 1e-4
    drawn, whole = Drawn(31), Drawn(31).whole()
    np.testing.assert_array_equal(encoder.embed([drawn], [3], METHODS), encoder.embed([whole], [3], METHODS))
    assert drawn.largest <= 480_000


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_chosen_layers_are_those_of_the_full_run(folder, context, precision):
    encoder = encoders.load(str(folder), "cpu", precision, context)
    waves = noise([0.5, 0.8])
    full = encoder.embed(waves, [0, 1, 2, 3], ["mean", "max"])
    np.testing.assert_array_equal(encoder.embed(waves, [2, 0], ["max"]), full[:, [2, 0], encoder.dim :])


def test_a_pass_holds_few_windows_however_short_the_clips(folder):
    """Each clip of 0.1 s takes a window of 1,500 frames."""
    from speechemb.encoders.encoder import FORWARD_S

    network = encoders.load(str(folder), "cpu", "fp32")._network
    assert network.cost(1600) == 480_000 and FORWARD_S // 30 == 4
    assert encoders.load(str(folder), "cpu", "fp32", "clip")._network.cost(1600) == 1600


# ------------------------------------------------------------------------------------------------- contexts


def test_contexts_are_two_encoders(folder):
    window, clip = (encoders.load(str(folder), "cpu", "fp32", context) for context in CONTEXTS)
    assert not encoders.same_output(window.identity, clip.identity)
    assert encoders.load(str(folder), "cpu", "fp32").identity["context"] == encoders.DEFAULT_CONTEXT
    waves = noise([0.5])
    assert cosine(window.embed(waves, [3], ["mean"]), clip.embed(waves, [3], ["mean"])).max() < 0.999
    for one in (window, clip):
        again = encoders.load_recorded(one.identity, str(folder), "fp32", "cpu")
        assert again.identity == one.identity


def test_tags_name_the_context_unless_it_is_the_default():
    other = next(context for context in CONTEXTS if context != encoders.DEFAULT_CONTEXT)
    assert encoders.tag_of("openai/whisper-tiny.en") == "whisper_tiny_en"
    assert encoders.tag_of("whisper_base", encoders.DEFAULT_CONTEXT) == "whisper_base"
    assert encoders.tag_of("whisper_base", other) == f"whisper_base_{other}"
    assert encoders.tag_of("openai/whisper-base@abc", other) == f"whisper_base_abc_{other}"


@pytest.mark.parametrize("recorded", ["nope", 3, ["clip"], None])
def test_a_recorded_context_that_does_not_exist_is_another_encoder(folder, recorded):
    """It comes from a file."""
    wanted = {**encoders.load(str(folder), "cpu", "fp32").identity, "context": recorded}
    with pytest.raises(InputError, match="give the right one with --encoder"):
        encoders.load_recorded(wanted, str(folder), "fp32", "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("context", CONTEXTS)
def test_a_context_is_for_whisper_only(tmp_path, context):
    make_model(tmp_path / "model", "wavlm")
    for model in (str(tmp_path / "model"), "acoustic"):
        with pytest.raises(InputError, match=f"--context {context}: is for Whisper encoders only; leave it out"):
            encoders.load(model, "cpu", "fp32", context)


# ------------------------------------------------------------------------------------------------- weights


def rename(old: str, new: str):
    return lambda weights: {key.replace(old, new, 1): value for key, value in weights.items()}


def only_encoder(weights: dict) -> dict:
    return {key: value.half() for key, value in weights.items() if key.startswith("model.encoder.")}


@pytest.mark.parametrize(
    "change",
    [only_encoder, rename("model.", ""), lambda weights: rename("model.encoder.", "")(only_encoder(weights))],
    ids=["no decoder, fp16", "encoder.", "bare, fp16"],
)
def test_keys_with_and_without_the_decoder(tmp_path, change):
    """The same encoder, and no other module is made."""
    folder = make_whisper(tmp_path / "model")
    spoil(folder, lambda weights: {key: value.half().float() for key, value in weights.items()})
    wanted = encoders.load(str(folder), "cpu", "fp32")
    spoil(folder, change)
    found = encoders.load(str(folder), "cpu", "fp32")
    assert encoders.same_output(found.identity, wanted.identity)
    to_bin(folder)
    assert encoders.same_output(encoders.load(str(folder), "cpu", "fp32").identity, wanted.identity)


def test_only_the_encoder_is_read(tmp_path):
    """Not even into memory."""
    from speechemb.encoders import pretrained, weights

    folder = make_whisper(tmp_path / "model")
    stored = load_file(folder / "model.safetensors")
    read = weights.read("--model x", [folder / "model.safetensors"], whisper.FAMILY.renamed)
    assert len(read) == sum(key.startswith("model.encoder.") for key in stored) < len(stored)
    model, _ = pretrained.from_folder(folder, None)
    assert set(model.state_dict()) == set(read)


def without(name: str):
    return lambda weights: {key: value for key, value in weights.items() if name not in key}


@pytest.mark.parametrize(
    "change, words",
    [
        (without("model.encoder.embed_positions"), "they lack embed_positions.weight"),
        (without("model.encoder.layers.1.fc2.bias"), "they lack layers.1.fc2.bias"),
        (without("model.encoder."), "holds no floating-point weights"),
        (
            lambda w: w | {"model.encoder.layers.3.fc1.bias": w["model.encoder.layers.0.fc1.bias"] + 1},
            "they hold layers.3",
        ),
        (lambda w: w | {"model.encoder.conv1.bias": torch.ones(3)}, "do not fit config.json"),
    ],
)
def test_weights_that_do_not_fit_are_one_line(tmp_path, change, words):
    folder = make_whisper(tmp_path / "model")
    spoil(folder, change)
    assert_one_line(folder, words)


# ------------------------------------------------------------------------------------------------- settings


def assert_one_line(folder: Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        encoders.load(str(folder), "cpu", "fp32")
    message = str(caught.value)
    assert "\n" not in message and message.startswith("--model ") and len(message) < 400, message
    assert "get " in message or "give " in message, message


def changed(model: Path, folder: Path, name: str, **changes) -> Path:
    """The folder with links to the model's files, and keys of one of them replaced."""
    folder.mkdir()
    for file in model.iterdir():
        if file.name != name:
            (folder / file.name).symlink_to(file)
    (folder / name).write_text(json.dumps({**json.loads((model / name).read_text()), **changes}))
    return folder


WRONG = [
    *({"d_model": value} for value in (0, -1, 10**30, "48", 48.0, True, None, [48], 50, 1_000_000)),
    *({"encoder_layers": value} for value in (0, 10_000_000, 2.5, {})),
    *({"encoder_attention_heads": value} for value in (0, 5, 10**30)),
    *({"encoder_ffn_dim": value} for value in (0, 2**62)),
    *({"num_mel_bins": value} for value in (0, 100_000, None)),
    *({"max_source_positions": value} for value in (0, 448, 1501, 10**30, "1500")),
    *({"activation_function": value} for value in ("nope", 1, None, ["gelu"])),
]


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_a_value_out_of_bounds_is_one_line_that_names_the_key(folder, tmp_path, change):
    assert_one_line(changed(folder, tmp_path / "wrong", "config.json", **change), next(iter(change)))


def test_an_encoder_larger_than_its_weights_is_never_built(folder, tmp_path):
    wide = {"d_model": 8192, "encoder_layers": 128, "encoder_ffn_dim": 65_536}
    assert_one_line(changed(folder, tmp_path / "wrong", "config.json", **wide), "asks for .* parameters")


@pytest.mark.parametrize(
    "change",
    [
        {"feature_extractor_type": "Wav2Vec2FeatureExtractor"},
        {"feature_extractor_type": ["WhisperFeatureExtractor"]},
        {"sampling_rate": 8000},
        {"feature_size": 128},
        {"hop_length": 320},
        {"n_fft": 512},
        {"chunk_length": 10},
        {"chunk_length": "30"},
        {"padding_value": True},
        {"dither": 1e-4},
    ],
    ids=str,
)
def test_another_log_mel_is_one_line(folder, tmp_path, change):
    name = "preprocessor_config.json"
    assert_one_line(changed(folder, tmp_path / "wrong", name, **change), "preprocessor_config.json")


def test_mel_filters_in_a_file_are_not_used(folder, tmp_path):
    other = changed(folder, tmp_path / "other", "preprocessor_config.json", mel_filters=[[9.0]])
    waves = noise([0.4])
    found, wanted = (encoders.load(str(x), "cpu", "fp32").embed(waves, [3], ["mean"]) for x in (other, folder))
    np.testing.assert_array_equal(found, wanted)


def test_without_a_preprocessor_the_log_mel_is_the_same(folder, tmp_path):
    bare = changed(folder, tmp_path / "bare", "config.json")
    (bare / "preprocessor_config.json").unlink()
    found, wanted = (encoders.load(str(x), "cpu", "fp32") for x in (bare, folder))
    assert encoders.same_output(found.identity, wanted.identity) and found.identity["preprocessor"] == "default"


def test_the_decoders_settings_do_not_matter(tmp_path):
    folder = make_whisper(tmp_path / "model")
    configure(folder, decoder_layers=10**30, vocab_size=-1)
    assert encoders.load(str(folder), "cpu", "fp32").n_layers == 3


# ------------------------------------------------------------------------------------------------- the steps


@pytest.mark.slow
def test_from_clips_to_emotions_in_both_contexts(folder, script, tmp_path):
    """Each context has its own npz, run and model; predict.py takes the one that the model was trained with."""
    table = made.corpus(tmp_path / "tones", speakers=4, seconds=0.3)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "csv")])
    extract = ["--metadata", str(tmp_path / "csv" / "tones.csv"), "--model", str(folder), "--precision", "fp32"]
    where = ["--models-dir", str(tmp_path / "models"), "--results-dir", str(tmp_path)]
    sound, runs = sorted((tmp_path / "tones").rglob("*.wav"))[0], []
    for context in CONTEXTS:
        npz = tmp_path / f"{context}.npz"
        script("2_wavlm_feature_extraction").main([*extract, "--context", context, "--out", str(npz)])
        train = ["--npz-path", str(npz), "--classifier", "svm", "--n-folds", "2"]
        script("3_train_classifiers").main([*train, *where])
        (model,) = (path for path in (tmp_path / "models").iterdir() if path.name not in runs)
        assert json.loads((model / "model.json").read_text())["encoder"]["context"] == context
        script("predict").main(["--model", str(model), str(sound), "--out", str(tmp_path / f"{context}.csv")])
        runs.append(model.name)
    assert runs[1] == runs[0].replace("model", "model_clip", 1)
    script("5_visualization_umap").main(["--npz-path", str(tmp_path / "clip.npz"), "--results-dir", str(tmp_path)])
    with pytest.raises(InputError, match="--overwrite"):
        window = ["--out", str(tmp_path / "window.npz")]
        script("2_wavlm_feature_extraction").main([*extract, "--context", "clip", *window])


@pytest.mark.slow
@pytest.mark.parametrize("context", CONTEXTS)
def test_an_npz_has_the_same_bytes_on_any_number_of_cores(folder, script, tmp_path, monkeypatch, context):
    table = made.corpus(tmp_path / "tones", speakers=2, seconds=0.3)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "csv")])
    words = ["--metadata", str(tmp_path / "csv" / "tones.csv"), "--model", str(folder), "--context", context]
    found = []
    for cores in (1, 4):
        monkeypatch.setattr(torch, "get_num_threads", lambda cores=cores: cores)
        npz = tmp_path / f"{cores}.npz"
        script("2_wavlm_feature_extraction").main([*words, "--out", str(npz)])
        with np.load(npz) as stored:
            found.append(stored["embeddings"])
    np.testing.assert_array_equal(*found)
