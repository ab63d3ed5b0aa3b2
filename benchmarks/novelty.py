"""What predict.py flags as unlike the training speech: held-out speakers, noise, hum, chords, babble, other speech.

Reads   an npz of step 2 with its recordings, such as RAVDESS; --speech: a folder of other speech
Writes  a table, and with --out a JSON file

The speakers are divided into four parts; each is held out once, and `classifiers.novelty` is fitted on the others. The
share flagged is the mean over the parts. Made signals are 3 s long: white noise (-26 dB of full scale) and low noise
(-60 dB), hum (50 or 60 Hz with harmonics), chords (struck, three tones with harmonics), babble (eight clips added up).

Example: python benchmarks/novelty.py embeddings/ravdess8_wavlm_nano.npz --speech ../shared/data/plain_speech
"""

import argparse
import json
from pathlib import Path

import numpy as np

RATE, SECONDS, PARTS = 16_000, 3, 4


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("npz", nargs="+", type=Path)
    parser.add_argument("--speech", type=Path, help="folder of speech of another corpus; of long clips the first 10 s")
    parser.add_argument("--clips", type=int, default=20, help="signals of each kind")
    parser.add_argument("--layer", default="all")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    from speechemb.artifacts import embeddings

    rows = []
    for path in args.npz:
        data = embeddings.read(path, layer=args.layer).originals()
        kinds = {name: features(data, waves, args.layer) for name, waves in signals(data, args).items()}
        found = flagged(data.embeddings, data.speakers, kinds)
        rows.append({"encoder": data.tag, **found})
        print(f"{data.tag}: " + ", ".join(f"{name} {share:.1%}" for name, share in found.items()), flush=True)
    if args.out:
        args.out.write_text(json.dumps({"rows": rows}, indent=2) + "\n")


def flagged(x: np.ndarray, speakers: np.ndarray, kinds: dict[str, np.ndarray]) -> dict[str, float]:
    """The share flagged of the clips (n, d) of held-out speakers, and of each kind of other features."""
    from speechemb.classifiers.novelty import FLAGGED, Novelty

    part = np.unique(speakers, return_inverse=True)[1] % PARTS
    found: dict[str, list[np.ndarray]] = {"held-out speakers": [], **{name: [] for name in kinds}}
    for number in range(PARTS):
        novelty = Novelty().fit(x[part != number], speakers[part != number])
        for name, rows in {"held-out speakers": x[part == number], **kinds}.items():
            found[name].append(novelty.share(rows) > FLAGGED)
    return {name: float(np.concatenate(shares).mean()) for name, shares in found.items()}


def features(data, waves: list[np.ndarray], layer: str) -> np.ndarray:
    """What the classifier would see of waveforms."""
    from speechemb import encoders
    from speechemb.layers import take_layer

    meta = data.meta
    encoder = encoders.load_recorded(meta["encoder"], meta["encoder_source"], meta["precision"])
    vectors = [encoder.embed(waves[i : i + 4], meta["layers"], meta["pooling"]) for i in range(0, len(waves), 4)]
    return take_layer(np.concatenate(vectors), meta["layers"], layer)


def signals(data, args: argparse.Namespace) -> dict[str, list[np.ndarray]]:
    """Waveforms (n,) float32 of each kind."""
    from speechemb.audio import decoding
    from speechemb.paths import ROOT

    rng, n = np.random.default_rng(0), SECONDS * RATE
    made = {
        "white noise": [0.05 * rng.normal(size=n) for _ in range(args.clips)],
        "low noise": [0.001 * rng.normal(size=n) for _ in range(args.clips)],
        "hum": [hum(rng, n) for _ in range(args.clips)],
        "chords": [np.concatenate([chord(rng, RATE // 2) for _ in range(2 * SECONDS)]) for _ in range(args.clips)],
        "babble": [
            babble([decoding.load(ROOT / path) for path in rng.choice(data.paths, 8)]) for _ in range(args.clips)
        ],
    }
    if args.speech:
        paths = decoding.audio_files(args.speech)[: 2 * args.clips]
        made["other speech"] = [decoding.load(path)[: 10 * RATE] for path in paths]
    return {name: [wave.astype(np.float32) for wave in waves] for name, waves in made.items()}


def hum(rng: np.random.Generator, n: int) -> np.ndarray:
    """Mains hum with a little noise."""
    time, f0 = np.arange(n) / RATE, rng.choice([50, 60])
    tones = [np.sin(2 * np.pi * f0 * h * time + rng.uniform(0, 2 * np.pi)) / h for h in range(1, 8)]
    return 0.05 * np.sum(tones, axis=0) + 1e-3 * rng.normal(size=n)


def chord(rng: np.random.Generator, n: int) -> np.ndarray:
    """A major chord that fades."""
    time, root = np.arange(n) / RATE, 110 * 2 ** (rng.integers(0, 24) / 12)
    tones = [np.sin(2 * np.pi * root * ratio * h * time) / h for ratio in (1, 1.26, 1.5) for h in range(1, 6)]
    return 0.05 * np.exp(-3 * time) * np.sum(tones, axis=0)


def babble(waves: list[np.ndarray]) -> np.ndarray:
    """Several speakers at once."""
    n = min(map(len, waves))
    return np.sum([wave[:n] for wave in waves], axis=0) / 3


if __name__ == "__main__":
    main()
