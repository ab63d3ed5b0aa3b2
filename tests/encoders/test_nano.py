"""The bundled encoder is what its card says, and its maker trains, resumes and writes what transformers loads."""

import csv
import importlib.util

import numpy as np
import pytest
import soundfile
import torch
import transformers
from conftest import ROOT
from safetensors.torch import load_file

from speechemb.errors import InputError

NANO = ROOT / "models" / "wavlm-nano"
RATE = 16_000
STEPS = 10


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("pretrain_nano", ROOT / "tools" / "pretrain_nano.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def voice(seconds: float, f0: float, rng: np.random.Generator, rate: int = RATE) -> np.ndarray:
    """Syllables of a gliding harmonic tone with soft noise between them, `(samples,)` float32."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(f0 * (1 + 0.2 * np.sin(2 * np.pi * 0.7 * time))) / rate
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = np.clip(3 * np.sin(2 * np.pi * 2 * time), 0, 1)
    return (0.2 * tone * syllables + 0.002 * rng.standard_normal(len(time))).astype(np.float32)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Four usable clips (47 s; one short, one stereo at 48 kHz, one in a sub-folder) and three unusable files."""
    folder, rng = tmp_path_factory.mktemp("speech"), np.random.default_rng(0)
    (folder / "deeper").mkdir()
    soundfile.write(folder / "a.wav", voice(17, 110, rng), RATE)  # to be cut at 15 s
    soundfile.write(folder / "deeper" / "b.flac", voice(15, 180, rng), RATE)
    stereo = voice(15, 230, rng, 48_000)
    soundfile.write(folder / "c.wav", np.stack([stereo, 0.5 * stereo], axis=1), 48_000)
    soundfile.write(folder / "d.wav", voice(2.2, 140, rng), RATE)
    soundfile.write(folder / "too_short.wav", voice(1, 140, rng), RATE)
    soundfile.write(folder / "silent.wav", np.zeros(3 * RATE), RATE)
    (folder / "broken.wav").write_bytes(b"version https://git-lfs")
    return folder


@pytest.fixture(scope="module")
def flags(speech):
    """`flags(out)`: the command line of a tiny run."""
    tiny = "--hidden-size 32 --layers 1 --batch-seconds 4 --save-every 4".split()
    return lambda out: ["--speech", str(speech), "--out", str(out), "--steps", str(STEPS), *tiny]


@pytest.fixture(scope="module")
def trained(tool, flags, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    tool.main(flags(out))
    return out


def log_of(out) -> list[dict[str, float]]:
    with open(out / "run" / "log.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_bundled_encoder_is_what_its_card_says():
    model, info = transformers.AutoModel.from_pretrained(NANO, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    card = (NANO / "README.md").read_text(encoding="utf-8")
    assert f"{sum(p.numel() for p in model.parameters()):,}" in card
    assert (len(model.encoder.layers), model.config.hidden_size) == (6, 192)
    assert "6 blocks, width 192" in card
    assert sum(file.stat().st_size for file in NANO.iterdir()) < 8e6
    assert {v.dtype for v in load_file(NANO / "model.safetensors").values()} == {torch.float16}


def test_bundled_encoder_runs_as_the_card_shows():
    model = transformers.AutoModel.from_pretrained(NANO, dtype=torch.float32).eval()
    waveform = voice(2.0, 150, np.random.default_rng(1))
    inputs = transformers.AutoFeatureExtractor.from_pretrained(NANO)(waveform, sampling_rate=RATE, return_tensors="pt")
    assert np.array_equal(inputs["input_values"][0], waveform)  # do_normalize: false
    with torch.inference_mode():
        states = model(**inputs, output_hidden_states=True).hidden_states
    assert [tuple(state.shape) for state in states] == [(1, 99, 192)] * 7
    assert all(state.isfinite().all() and state.std() > 0.01 for state in states)


def test_bundled_weights_are_those_of_the_recipe(shared):
    recipe = shared / "encoder" / "wavlm-nano"
    if not recipe.is_dir():
        pytest.skip("no ../shared/encoder/wavlm-nano beside the checkout: nothing to compare with")
    ours, theirs = load_file(NANO / "model.safetensors"), load_file(recipe / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
def test_target_frames_are_the_frames_of_the_convolutions(tool):
    # With layer norm instead of group norm a frame depends on its own samples only, so its gradient shows them.
    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(4,) * 7)
    config = transformers.WavLMConfig(feat_extract_norm="layer", num_conv_pos_embedding_groups=2, **sizes)
    model = transformers.WavLMModel(config).eval()
    audio = torch.randn(1, 4000, requires_grad=True)
    model.feature_extractor(audio)[0, :, 5].sum().backward()
    heard = audio.grad[0].nonzero().flatten()
    assert (heard.min(), heard.max()) == (5 * 320, 5 * 320 + 399)
    for samples in (24_000, 24_319, 24_320, 47_999, 48_000):
        assert tool.log_mel(np.zeros(samples, np.float32)).shape == (
            40,
            model._get_feat_extract_output_lengths(samples),
        )
    click = np.zeros(16_000, np.float32)
    click[320 * 20 + 200] = 1.0  # the middle of frame 20: neighbours end before it or begin after it
    assert np.argmax(tool.log_mel(click).sum(0)) == 20


@pytest.mark.slow
def test_pitch_of_a_known_tone(tool):
    time = np.arange(2 * RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 10)).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    for level in (0.01, 1.0):
        log_f0, voiced = tool.pitch(level * tone, 99)
        assert voiced.all() and np.exp(log_f0[2:-2]) == pytest.approx(np.full(95, 150), rel=0.01)
    assert tool.pitch(noise, 99)[1].mean() < 0.1
    assert not tool.pitch(np.zeros(2 * RATE, np.float32), 99)[1].any()


@pytest.mark.slow
def test_crops_have_the_targets_of_their_own_audio(tool, trained):
    with np.load(trained / "run" / "targets.npz", allow_pickle=False) as stored:
        targets = {name: stored[name] for name in stored.files}
    clips = np.split(targets["audio"].astype(np.float32) / 32768, targets["audio_start"][1:-1])
    assert sorted(round(len(clip) / RATE, 1) for clip in clips) == [2.2, 15.0, 15.0, 15.0]
    mel = np.concatenate([tool.log_mel(clip).T for clip in clips])
    lengths = set()
    for seed in range(8):
        crops = tool.draw_crops(targets, 12, np.random.default_rng(seed))
        lengths.add(crops["audio"].shape[1])
        again = np.stack([tool.log_mel(audio).T for audio in crops["audio"]])
        assert crops["mel"] == pytest.approx((again - mel.mean(0)) / mel.std(0), abs=0.01)
        assert crops["clusters"].shape == crops["voiced"].shape == crops["log_f0"].shape == again.shape[:2]
    assert len(lengths) > 3


def test_hidden_spans(tool):
    mask = tool.draw_mask(200, 149, np.random.default_rng(0))
    assert 0.4 < mask.mean() < 0.5
    assert mask[:, -1].any()
    inner = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(int))
    runs = np.nonzero(inner == -1)[1] - np.nonzero(inner == 1)[1]
    assert runs.min() == 8


@pytest.mark.slow
def test_training_lowers_the_loss_and_writes_an_encoder(trained):
    log = log_of(trained)
    assert [row["step"] for row in log] == list(range(1, STEPS + 1))
    assert all(np.isfinite(list(row.values())).all() for row in log)
    assert np.mean([row["loss"] for row in log[-3:]]) < log[0]["loss"] - 0.1
    model, info = transformers.AutoModel.from_pretrained(trained, dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert not model.config.apply_spec_augment and model.config.hidden_dropout == 0
    assert not transformers.AutoFeatureExtractor.from_pretrained(trained).do_normalize
    files = {path.name for path in trained.rglob("*") if path.is_file()}
    model_files = {"config.json", "model.safetensors", "preprocessor_config.json"}
    assert files == model_files | {"targets.npz", "checkpoint.safetensors", "log.csv"}


@pytest.mark.slow
def test_a_killed_run_goes_on_as_if_it_had_not_been_killed(tool, flags, trained, tmp_path, monkeypatch, capsys):
    take_step = tool.Run.take_step

    def killed_at_step_7(run, *arguments):
        if run.step == 6:
            raise KeyboardInterrupt
        return take_step(run, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(tool.Run, "take_step", killed_at_step_7)
        tool.main(flags(tmp_path))
    assert len(log_of(tmp_path)) == 4  # the last checkpoint
    targets = tmp_path / "run" / "targets.npz"
    made = targets.stat().st_mtime_ns
    tool.main(flags(tmp_path))
    assert "resumed after step 4" in capsys.readouterr().out
    assert targets.stat().st_mtime_ns == made
    broken, unbroken = log_of(tmp_path), log_of(trained)
    assert [row["step"] for row in broken] == [row["step"] for row in unbroken]
    assert [row["loss"] for row in broken] == pytest.approx([row["loss"] for row in unbroken], rel=1e-4)
    assert [row["rate"] for row in broken] == [row["rate"] for row in unbroken]


@pytest.mark.slow
def test_a_checkpoint_of_other_settings_is_refused(tool, flags, trained):
    before = (trained / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="checkpoint.safetensors belongs to other speech or flags"):
        tool.main([*flags(trained), "--hidden-size", "64"])
    assert (trained / "model.safetensors").read_bytes() == before


def test_too_little_speech_is_said(tool, flags, tmp_path):
    soundfile.write(tmp_path / "a.wav", voice(5, 150, np.random.default_rng(0)), RATE)
    with pytest.raises(InputError, match="less than 40 s"):
        tool.main([*flags(tmp_path / "out"), "--speech", str(tmp_path)])
    (tmp_path / "empty").mkdir()
    for folder, problem in (("empty", "no audio file"), ("absent", "no such folder")):
        with pytest.raises(InputError, match=problem):
            tool.main([*flags(tmp_path / "out"), "--speech", str(tmp_path / folder)])
