"""Pre-train a small WavLM on plain speech: how models/wavlm-nano was made, and how to make another.

Nobody tells the encoder anything about emotion. It hears speech with about half of its 20 ms frames hidden and has to
say, for every frame, how the undisturbed speech sounded there: which of 200 clusters of MFCC (the first iteration of
HuBERT: Hsu et al. 2021, arXiv:2106.07447), the log-mel spectrum, the pitch, and whether there was a voice at all. Often
a second talker or noise is mixed in, and the answer stays that of the first talker (WavLM: Chen et al. 2022,
arXiv:2110.13900). Regressing spectrum and pitch beside the clusters is this recipe's own: ten hours of speech are too
few to learn prosody from clusters that leave it out.

Part 1 turns speech into targets, part 2 builds the model and its task, part 3 trains, saves and resumes.

Reads:   every audio file below the folders of --speech
Writes:  <out>/config.json, model.safetensors (float16), preprocessor_config.json: an encoder that transformers loads;
         <out>/run/targets.npz, checkpoint.safetensors, log.csv: what resuming needs; delete the folder afterwards
Example: python tools/pretrain_nano.py --speech ~/speech/LibriSpeech ~/speech/speechocean762 --out models/my-nano
         python src/2_wavlm_feature_extraction.py --model models/my-nano
Prints:  last the folder of the encoder and the number of its parameters

The same command resumes a run that was stopped, from its last checkpoint. A finished run goes on with a larger
--minutes, and `--minutes 0` writes the encoder as it stands. Preparing needs about 0.4 GB of memory for each hour of
speech, training 0.15 GB for each hour beside 2 GB for the model.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speechemb import cli, paths
from speechemb.artifacts import provenance
from speechemb.errors import InputError, first

if TYPE_CHECKING:  # torch takes seconds to import: each function that computes with it imports it
    import torch

RATE = 16_000  # Hz
# The convolutions of WavLM see 400 samples (25 ms) and move on by 320 (20 ms), without padding: their frame t is made
# of the samples 320 t ... 320 t + 399. Every target is computed on that grid, or the model would be asked about
# another moment than the one it hears.
WINDOW, HOP = 400, 320
SHORTEST, LONGEST = 1.5, 15.0  # seconds: shorter clips are left out, longer ones cut
CROPS = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5)  # seconds: the crops of a batch have one of these lengths
CLUSTERS, MELS = 200, 40
PITCH_WINDOW, LOWEST_F0, HIGHEST_F0 = 1024, 60.0, 500.0  # samples, Hz, Hz
PEAK_RATE, WARM_UP = 1.5e-3, 0.04  # highest learning rate, and the part of the budget that leads up to it
MASKED_SPAN, MASKED_STARTS = 8, 0.075  # frames hidden together; chance of a frame to begin such a span: 45 % hidden
REPORT_EVERY = 25  # steps

Arrays = dict[str, NDArray[Any]]


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--speech", nargs="+", required=True, metavar="FOLDER", help="corpora, searched recursively")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder of the encoder")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, default=72.0, help="training time, over all resumed runs")
    budget.add_argument("--steps", type=cli.positive, help="instead: a number of steps, repeatable exactly")
    parser.add_argument("--hidden-size", type=cli.positive, default=192, help="width; a multiple of 8")
    parser.add_argument("--layers", type=cli.positive, default=6, help="transformer blocks")
    parser.add_argument("--batch-seconds", type=float, default=36.0, help="audio of one step")
    precision = "of the matrix products; fp32 is faster where the processor has no bf16 arithmetic"
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16", help=precision)
    parser.add_argument("--save-every", type=cli.positive, default=200, help="steps between checkpoints")
    parser.add_argument("--seed", type=int, default=0, help="of clusters, weights, crops and disturbances")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.hidden_size % 8:
        raise InputError(f"--hidden-size {args.hidden_size} is not a multiple of 8")
    out = paths.output(args.out)
    files = find_speech([paths.existing(folder) for folder in args.speech])
    about_targets, about_run = fingerprints(files, args)
    run = Run(args, about_run, out / "run")
    run.resume()
    if run.done() < 1:
        run.train(cached_targets(files, out / "run" / "targets.npz", about_targets, args.seed))
    run.export(out)
    count = sum(p.numel() for p in run.model.parameters())
    print(f"{paths.shown(out)}: {count:,} parameters after {run.step} steps and {run.seconds / 60:.1f} minutes")


def fingerprints(files: list[Path], args: argparse.Namespace) -> tuple[str, str]:
    """What the targets and what the run depend on. The budget is not among it: it may be raised later."""
    settings = [RATE, WINDOW, HOP, SHORTEST, LONGEST, CLUSTERS, MELS, PITCH_WINDOW, LOWEST_F0, HIGHEST_F0, args.seed]
    targets = provenance.fingerprint(files=[provenance.sha256_file(file) for file in files], settings=settings)
    model = [args.hidden_size, args.layers, args.batch_seconds, CROPS, PEAK_RATE, MASKED_SPAN, MASKED_STARTS]
    return targets, provenance.fingerprint(targets=targets, model=model)


# Part 1: from speech to targets ---------------------------------------------------------------------------------------


def find_speech(folders: list[Path]) -> list[Path]:
    """Files below the folders whose suffix is that of a format libsndfile reads, sorted.

    Raises:
        InputError: a folder is missing or none holds audio
    """
    import soundfile

    if missing := [str(folder) for folder in folders if not folder.is_dir()]:
        raise InputError(f"--speech: no such folder: {first(missing)}")
    suffixes = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"} | {".aif", ".opus"}
    found = {path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in suffixes}
    files = sorted(path for path in found if not path.name.startswith("."))
    if not files:
        raise InputError(f"--speech: no audio file below {first([str(folder) for folder in folders])}")
    return files


def read_clip(path: Path) -> NDArray[np.int16] | None:
    """Mono audio at 16 kHz with its peak at 0.7; None where it is unreadable, silent or shorter than 1.5 s."""
    import soundfile
    import soxr

    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            audio = file.read(int(LONGEST * rate), dtype="float32", always_2d=True).mean(1)
    except soundfile.LibsndfileError:
        return None
    if rate != RATE:
        audio = soxr.resample(audio, rate, RATE)
    peak = np.abs(audio).max(initial=0.0)
    if len(audio) < SHORTEST * RATE or not 1e-3 < peak < np.inf:
        return None
    return np.round(audio / peak * 0.7 * 32767).astype(np.int16)


def log_mel(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(samples,)` -> `(40, frames)`, 60-7600 Hz, on WavLM's frames: center=False starts frame t at sample 320 t."""
    import librosa

    power = np.abs(librosa.stft(audio, n_fft=WINDOW, hop_length=HOP, center=False)) ** 2
    bands = librosa.filters.mel(sr=RATE, n_fft=WINDOW, n_mels=MELS, fmin=60, fmax=7600)
    return np.log(bands @ power + 1e-6)


def mfcc(log_mels: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(40, frames)` -> `(frames, 39)`: 13 coefficients with first and second differences."""
    import librosa

    # mfcc() takes the logarithm only of what it computes itself; S is used as given, so it has to be logarithmic.
    static = librosa.feature.mfcc(S=log_mels, n_mfcc=13)
    differences = [librosa.feature.delta(static, width=5, order=order) for order in (1, 2)]
    return np.concatenate([static, *differences]).T.astype(np.float32)


def pitch(audio: NDArray[np.float32], frames: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """log f0 in log Hz by YIN (de Cheveigne & Kawahara 2002), and voicing, `(frames,)` each.

    A frame is voiced where the normalised cross-correlation (Talkin 1995) at the lag of its f0 exceeds 0.5.
    """
    import librosa

    # Two periods of 60 Hz need a longer window than 400 samples: 312 zeros in front give it the same centre.
    padded = np.pad(audio, ((PITCH_WINDOW - WINDOW) // 2, PITCH_WINDOW))
    f0 = librosa.yin(padded, fmin=LOWEST_F0, fmax=HIGHEST_F0, sr=RATE, frame_length=PITCH_WINDOW, hop_length=HOP,
                     center=False)[:frames]  # fmt: skip
    lag = (RATE / f0).astype(int)
    width = PITCH_WINDOW - int(RATE / LOWEST_F0) - 1  # so that a window and its copy one lag later fit
    windows = np.lib.stride_tricks.sliding_window_view(padded, width)
    start = np.arange(frames) * HOP + (PITCH_WINDOW - width - lag) // 2
    now, later = windows[start], windows[start + lag]
    energy = np.einsum("fs,fs->f", now, now) * np.einsum("fs,fs->f", later, later)
    voiced = np.einsum("fs,fs->f", now, later) > 0.5 * (np.sqrt(energy) + 1e-6)
    return np.log(f0).astype(np.float32), voiced


def cluster(features: NDArray[np.float32], seed: int) -> NDArray[np.int16]:
    """The k-means cluster of each frame, `(frames,)`, from standardised `(frames, 39)`."""
    from sklearn.cluster import MiniBatchKMeans

    features = (features - features.mean(0)) / features.std(0)
    sample = np.random.default_rng(seed).permutation(len(features))[:400_000]  # 2 h 13 min: enough for 200 centres
    kmeans = MiniBatchKMeans(CLUSTERS, batch_size=10_000, max_iter=60, n_init=3, random_state=seed)
    return kmeans.fit(features[sample]).predict(features).astype(np.int16)


def make_targets(files: list[Path], seed: int) -> Arrays:
    """All clips and targets end to end; clip i owns `audio[audio_start[i]:audio_start[i + 1]]`, frames likewise.

    Returns:
        `audio` int16; `clusters` int16 `(frames,)`; `mel` float16 `(frames, 40)` and `log_f0` float16 `(frames,)` with
        mean 0 and standard deviation 1 (over all frames; over the voiced ones); `voiced` bool; the two `_start` int64

    Raises:
        InputError: less than 40 s of usable speech (ten frames a cluster), or no voice in it
    """
    clips, rows = [], []
    for number, path in enumerate(files, 1):
        if (clip := read_clip(path)) is not None:
            mel = log_mel(audio := clip.astype(np.float32) / 32768)
            clips.append(clip)
            rows.append((mfcc(mel), mel.T, *pitch(audio, mel.shape[1])))
        if number % 500 == 0:
            print(f"targets: {number} of {len(files)} files", flush=True)
    print(f"speech: {len(clips)} clips, {sum(map(len, clips)) / RATE / 60:.1f} minutes; left out, because unreadable, "
          f"silent or shorter than {SHORTEST} s: {len(files) - len(clips)}", flush=True)  # fmt: skip
    if sum(len(row[0]) for row in rows) < 10 * CLUSTERS or not any(row[3].any() for row in rows):
        raise InputError(f"--speech: {files[0]} ... hold less than 40 s of usable speech: add folders of plain speech")
    features, mel, log_f0, voiced = (np.concatenate(column) for column in zip(*rows, strict=True))
    return {
        "audio": np.concatenate(clips),
        "audio_start": np.cumsum([0, *map(len, clips)]),
        "frame_start": np.cumsum([0, *(len(row[0]) for row in rows)]),
        "clusters": cluster(features, seed),
        "mel": ((mel - mel.mean(0)) / mel.std(0)).astype(np.float16),
        "log_f0": ((log_f0 - log_f0[voiced].mean()) / log_f0[voiced].std()).astype(np.float16),
        "voiced": voiced,
    }


def cached_targets(files: list[Path], cache: Path, fingerprint: str, seed: int) -> Arrays:
    """`make_targets`, or what it wrote to `cache` for the same files and settings."""
    from speechemb.artifacts.atomic import atomic

    if cache.is_file():
        with np.load(cache, allow_pickle=False) as stored:
            if str(stored["fingerprint"]) == fingerprint:
                return {name: stored[name] for name in stored.files}
    targets = {**make_targets(files, seed), "fingerprint": np.array(fingerprint)}
    with atomic(cache) as temporary, open(temporary, "wb") as file:
        np.savez(file, **targets)
    return targets


# Part 2: the model and its task ---------------------------------------------------------------------------------------


def build(hidden_size: int, layers: int) -> tuple[torch.nn.Module, torch.nn.Module]:
    """A WavLM with random weights, and the linear layer that answers from its last hidden state."""
    import torch
    from transformers import WavLMConfig, WavLMModel

    config = WavLMConfig(
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=4 * hidden_size,
        # WavLM-base has 512 channels in all seven. The first layers run at up to 3,200 frames a second and would take
        # most of the time, so they are the narrowest.
        conv_dim=(32, 64, 64, 128, 128, 192, 192),
        feat_extract_norm="group",
        num_conv_pos_embeddings=32,
        num_conv_pos_embedding_groups=8,
        hidden_dropout=0.05,
        attention_dropout=0.05,
        feat_proj_dropout=0.05,
        layerdrop=0.0,
        apply_spec_augment=True,  # lets the model hide the frames that it is told to
        mask_time_length=MASKED_SPAN,
    )
    return WavLMModel(config).train(), torch.nn.Linear(hidden_size, CLUSTERS + MELS + 2)


def draw_crops(targets: Arrays, batch_seconds: float, rng: np.random.Generator) -> Arrays:
    """A batch: `audio` float32 `(crops, samples)` and the targets of its frames, `(crops, frames, ...)`.

    All crops of a batch have one length, so none is padded (which the group norm would turn into another result); the
    length differs between batches, so that short clips take part and the model does not get used to one duration.
    """
    samples = np.diff(targets["audio_start"])
    length = int(RATE * rng.choice([seconds for seconds in CROPS if seconds * RATE <= samples.max()]))
    long_enough = np.flatnonzero(samples >= length)
    clips = rng.choice(
        long_enough, max(2, round(batch_seconds * RATE / length)), p=samples[long_enough] / samples[long_enough].sum()
    )
    # Crops begin on the frame grid: frame t of a crop is then frame begin + t of its clip.
    begin = rng.integers((samples[clips] - length) // HOP + 1)
    at = (targets["audio_start"][clips] + HOP * begin)[:, None] + np.arange(length)
    frames = (targets["frame_start"][clips] + begin)[:, None] + np.arange((length - WINDOW) // HOP + 1)
    crops = {name: targets[name][frames] for name in ("clusters", "mel", "log_f0", "voiced")}
    return {"audio": targets["audio"][at].astype(np.float32) / 32768, **crops}


def disturb(audio: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Vary the level, mix another crop's talker into half of 30 % of the crops and noise into 20 %."""
    disturbed = audio * rng.uniform(0.1, 1.3, (len(audio), 1)).astype(np.float32)
    half = audio.shape[1] // 2
    for crop, chance in enumerate(rng.random(len(audio))):
        if chance < 0.3:
            start = rng.integers(half)
            disturbed[crop, start : start + half] += audio[crop - 1, :half] * rng.uniform(0.05, 0.5)
        elif chance < 0.5:
            level = disturbed[crop].std() * 10 ** rng.uniform(-2, -0.5)  # 40 to 10 dB below the speech
            disturbed[crop] += level * rng.standard_normal(audio.shape[1], dtype=np.float32)
    return disturbed


def draw_mask(crops: int, frames: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """True where a frame is hidden, `(crops, frames)`: spans of 8 frames that may overlap."""
    starts = rng.random((crops, frames - MASKED_SPAN + 1)) < MASKED_STARTS
    mask = np.zeros((crops, frames), dtype=bool)
    for offset in range(MASKED_SPAN):
        mask[:, offset : offset + starts.shape[1]] |= starts
    return mask


def answer_loss(
    answer: torch.Tensor, crops: dict[str, torch.Tensor], mask: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """Loss of the answers `(crops, frames, 242)`, and what the log shows of it.

    Hidden frames count fully; the others count 0.3, because seen speech under a second talker is a task as well.
    """
    from torch.nn import functional

    cluster_scores, mel, log_f0, voicing = answer.float().split([CLUSTERS, MELS, 1, 1], dim=-1)
    voiced = crops["voiced"].float()
    by_cluster = functional.cross_entropy(cluster_scores.transpose(1, 2), crops["clusters"].long(), reduction="none")
    by_mel = (mel - crops["mel"]).abs().mean(-1)
    by_f0 = (log_f0[..., 0] - crops["log_f0"]).abs() * voiced  # a frame without voice has no pitch to be wrong about
    by_voicing = functional.binary_cross_entropy_with_logits(voicing[..., 0], voiced, reduction="none")
    weight = mask.float() * 0.7 + 0.3
    loss = (weight * (by_cluster + by_mel + by_f0 + 0.5 * by_voicing)).sum() / weight.sum()
    right = (cluster_scores.argmax(-1) == crops["clusters"])[mask].float().mean()
    shown = {"loss": loss, "accuracy": right, "mel_l1": by_mel[mask].mean(), "f0_l1": by_f0.sum() / voiced.sum()}
    return loss, {name: value.item() for name, value in shown.items()}


# Part 3: training -----------------------------------------------------------------------------------------------------


class Run:
    """A training run: model, head and optimizer, and how far they are."""

    def __init__(self, args: argparse.Namespace, fingerprint: str, folder: Path) -> None:
        import torch

        self.args, self.fingerprint, self.folder = args, fingerprint, folder
        torch.manual_seed(args.seed)
        self.model, self.head = build(args.hidden_size, args.layers)
        self.modules = torch.nn.ModuleDict({"model": self.model, "head": self.head})
        self.optimizer = torch.optim.AdamW(self.modules.parameters(), betas=(0.9, 0.98), weight_decay=0.01)
        self.step, self.seconds, self.log = 0, 0.0, []

    def done(self) -> float:
        """The part of the budget that is used up, from 0 to 1 and above."""
        if self.args.steps:
            return self.step / self.args.steps
        return self.seconds / (60 * self.args.minutes) if self.args.minutes > 0 else 1.0

    def train(self, targets: Arrays) -> None:
        """Step until the budget is used up; a checkpoint every `save_every` steps and one at the end."""
        while self.done() < 1:
            began = time.perf_counter()
            rate = PEAK_RATE * min(1.0, self.done() / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * self.done())) + 1e-6
            shown = self.take_step(targets, rate)
            self.step, self.seconds = self.step + 1, self.seconds + time.perf_counter() - began
            self.log.append({"step": self.step, "seconds": self.seconds, "rate": rate, **shown})
            if self.step % REPORT_EVERY == 0:
                self.report()
            if self.step % self.args.save_every == 0 or self.done() >= 1:
                self.save()

    def take_step(self, targets: Arrays, rate: float) -> dict[str, float]:
        """One batch, one update of the weights."""
        import torch

        # All chance of a step comes from its number, so a resumed run draws what an unbroken one would have drawn.
        rng = np.random.default_rng([self.args.seed, self.step])
        torch.manual_seed(int(rng.integers(2**31)))  # dropout
        crops = draw_crops(targets, self.args.batch_seconds, rng)
        audio = torch.from_numpy(disturb(crops.pop("audio"), rng))
        mask = torch.from_numpy(draw_mask(*crops["clusters"].shape, rng))
        with torch.autocast("cpu", torch.bfloat16, enabled=self.args.precision == "bf16"):
            answer = self.head(self.model(audio, mask_time_indices=mask).last_hidden_state)
        loss, shown = answer_loss(answer, {name: torch.from_numpy(value) for name, value in crops.items()}, mask)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.modules.parameters(), 1.0)
        self.optimizer.step()
        return shown

    def report(self) -> None:
        """One line: the means of the last steps."""
        rows = self.log[-REPORT_EVERY:]
        means = {name: np.mean([row[name] for row in rows]) for name in ("loss", "accuracy", "mel_l1", "f0_l1")}
        words = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
        print(f"step {self.step}  {self.done():.1%} of the budget, {self.seconds / 60:.1f} min  {words}", flush=True)

    def save(self) -> None:
        """Log and checkpoint, the log first: a kill between the two leaves rows too many, which `resume` drops."""
        from safetensors.torch import save_file

        from speechemb.artifacts.atomic import atomic

        with atomic(self.folder / "log.csv") as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, self.log[0])
            writer.writeheader()
            writer.writerows(self.log)
        tensors = dict(self.modules.state_dict())
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adamw.{number}.{name}": value for name, value in moments.items()}
        about = {"fingerprint": self.fingerprint, "step": str(self.step), "seconds": repr(self.seconds)}
        with atomic(self.folder / "checkpoint.safetensors") as temporary:
            save_file(tensors, temporary, about)

    def resume(self) -> None:
        """Take up the checkpoint, if there is one.

        Raises:
            InputError: the checkpoint belongs to other speech, another seed or another size of model
        """
        from safetensors import safe_open

        path = self.folder / "checkpoint.safetensors"
        if not path.is_file():
            return
        with safe_open(path, "pt") as file:
            about, tensors = file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}
        if about.get("fingerprint") != self.fingerprint:
            raise InputError(f"{paths.shown(path)} belongs to other speech or flags: choose another --out or delete it")
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name in [name for name in tensors if name.startswith("adamw.")]:
            _, number, kind = name.split(".")
            moments.setdefault(int(number), {})[kind] = tensors.pop(name)
        self.modules.load_state_dict(tensors)
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.step, self.seconds = int(about["step"]), float(about["seconds"])
        with open(self.folder / "log.csv", newline="") as file:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        self.log = [{**row, "step": int(row["step"])} for row in rows[: self.step]]
        print(f"resumed after step {self.step}, {self.seconds / 60:.1f} min", flush=True)

    def export(self, out: Path) -> None:
        """Write the encoder, without its head, as float16: half the size, and far finer than training noise."""
        from transformers import Wav2Vec2FeatureExtractor

        for name in ("hidden_dropout", "attention_dropout", "feat_proj_dropout"):
            setattr(self.model.config, name, 0.0)
        self.model.config.apply_spec_augment = False  # whoever fine-tunes decides about masking anew
        self.model.half().save_pretrained(out)
        # Levels from 0.1 to 1.3 were heard in training and the group norm removes the rest: no do_normalize.
        Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=False).save_pretrained(out)


if __name__ == "__main__":
    sys.exit(cli.run(main))
