"""What step 2 on a Ray cluster costs: two workers against one, the driver's part, and a simulation of many workers.

Writes  a table, and with --out a JSON file; clips and rows go to a temporary folder

Two machines of one core each are started on this one. Their rate is that of the second half of the batches, without
the start and the loading of the encoder. The driver's part is measured with workers that answer at once: processor time
of its loop for sending a batch and taking the answer, wall time for writing it. In the simulation a worker computes a
batch as long as measured (or as `--batch-time` says), waits for the driver, which serves one answer at a time, and gets
the next.

Example: python benchmarks/cluster.py --clips 800 --batch-time 2.4 --out cluster.json
"""

import argparse
import heapq
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from processes import ROOT, run

SKIPPED = 10  # batches, while workers start
WORKERS = (1, 2, 10, 100, 300, 1_000, 3_000)
SHAPES = (
    (4, 1, 768),
    (4, 13, 768),
    (4, 25, 2048),
)  # of a batch of 10 s: wavlm-base's last layer, all, a large mean+std


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=800, help="of 2.5 s")
    parser.add_argument("--answers", type=int, default=1_000, help="batches that are answered at once")
    parser.add_argument("--batch-time", type=float, nargs="+", default=[2.4], help="seconds, simulated beside ours")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    os.environ.update(PYTHONPATH=str(ROOT / "src"), RAY_USAGE_STATS_ENABLED="0")
    with tempfile.TemporaryDirectory() as folder:
        extraction, plan = prepared(Path(folder), args.clips)
        rates = {n: rate_of(extraction, plan, n) for n in (1, 2)}
        alone = alone_seconds(extraction, plan)
        costs = [{"bytes": 4 * int(np.prod(shape)), **driver_cost(shape, args.answers, folder)} for shape in SHAPES]
    found = {
        "batch seconds alone": alone,
        "batches per second": rates,
        "share of perfect scaling": rates[2] / (2 * rates[1]),
        "overhead per batch, seconds": 1 / rates[1] - alone,
        "driver": costs,
    }
    print(json.dumps(found, indent=2))
    found["simulation"] = [simulated(t, cost) for t in (alone, *args.batch_time) for cost in costs]
    if args.out:
        args.out.write_text(json.dumps(found, indent=2) + "\n")


def prepared(folder: Path, clips: int):
    """An extraction with wavlm_nano of clips of noise, and its plan."""
    import soundfile as sf

    from speechemb import encoders
    from speechemb.extraction.clips import read_clips
    from speechemb.extraction.run import ExtractionRun

    rng, names = np.random.default_rng(0), [f"{number}.wav" for number in range(clips)]
    for name in names:
        sf.write(folder / name, rng.integers(-3000, 3000, size=40_000, dtype=np.int16), 16_000)
    (folder / "noise.csv").write_text(
        "path,emotion\n" + "".join(f"{name},{'happy' if i % 2 else 'sad'}\n" for i, name in enumerate(names))
    )
    run(
        "1_data_preprocessing.py",
        "--corpora",
        f"table:{folder / 'noise.csv'}",
        "--emotions",
        "all",
        "--out-dir",
        folder / "out",
    )
    table, _, inputs = read_clips([folder / "out" / "noise.csv"], None)
    model = encoders.load("wavlm_nano", precision="fp32")
    layers = list(range(model.n_layers + 1))
    extraction = ExtractionRun(model, "nano", "models/wavlm-nano", layers, ["mean"], "fp32", inputs, None, "")
    return extraction, extraction.plan(table, 10)


@contextmanager
def machines(count: int) -> Iterator[str]:
    """The address of a cluster with so many machines of one core."""
    from ray.cluster_utils import Cluster

    memory = {"object_store_memory": 300_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **memory})
    for _ in range(count):
        cluster.add_node(num_cpus=1, **memory)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


def rate_of(extraction, plan, count: int) -> float:
    """Batches per second that so many workers of one core compute."""
    from speechemb.extraction.cluster import on_ray

    with machines(count) as address:
        answers = on_ray(extraction, address)(plan.clips, dict(enumerate(plan.batches)))
        times = [time.perf_counter() for _ in answers]
    half = len(times) // 2
    return (len(times) - 1 - half) / (times[-1] - times[half])


def alone_seconds(extraction, plan) -> float:
    """Seconds for a batch on one core in this process."""
    from speechemb.extraction.run import embedded

    extraction.model.start_worker()
    times = [time.perf_counter()]
    for batch in plan.batches:
        embedded(extraction.model, plan.clips.iloc[batch], extraction.layers, extraction.methods)
        times.append(time.perf_counter())
    return float(np.mean(np.diff(times)[SKIPPED:]))


def driver_cost(shape: tuple[int, int, int], answers: int, folder: str) -> dict[str, float]:
    """Seconds that the driver takes for a batch of this shape: processor time of its loop, wall time for writing."""
    import pandas as pd

    from speechemb.extraction import cluster
    from speechemb.extraction.resume import Partial

    class Echo(cluster.Worker):
        def load(self, wanted):
            return 4

        def embed(self, clips):
            return np.zeros(shape, np.float32)

    clips = pd.DataFrame([dict.fromkeys(cluster.COLUMNS, "a" * 40)] * shape[0])
    partial = Partial(Path(folder) / f"{shape}.npz", (shape[0] * answers, *shape[1:]), {})
    partial.begin(overwrite=True)
    real, cluster.Worker = cluster.Worker, Echo
    try:
        with machines(2) as address:
            ray = cluster._connected(address)
            wanted = cluster.Wanted("", "cpu", "", {}, [], [], "", {})
            loop = cluster._Actors(ray, wanted).compute(clips, dict.fromkeys(range(answers), np.arange(shape[0])))
            first = [rows for _, (_, rows) in zip(range(SKIPPED), loop, strict=False)]
            begun = time.thread_time(), time.process_time(), time.perf_counter()
            rest = sum(1 for _ in loop)
            ended = time.thread_time(), time.process_time(), time.perf_counter()
            spent, threads, wall = (b - a for a, b in zip(begun, ended, strict=True))
            ray.shutdown()
    finally:
        cluster.Worker = real
    written = time.perf_counter()
    for number in range(answers):
        partial.store(number, np.arange(number * shape[0], (number + 1) * shape[0]), first[0], "fp32")
    written = (time.perf_counter() - written) / answers
    partial.remove()
    times = {"ray": spent / rest, "ray, all threads": threads / rest, "writing": written}
    return {**times, "answers per second on this machine": rest / wall}


def simulated(batch_time: float, cost: dict[str, float]) -> dict:
    """Batches and bytes per second, and the share of perfect scaling, for each number of workers."""
    service = cost["ray"] + cost["writing"]
    rows = []
    for workers in WORKERS:
        rng, n = np.random.default_rng(0), 50 * workers
        times = batch_time * rng.uniform(0.8, 1.2, n + workers)
        ends = [(times[i], i) for i in range(workers)]
        heapq.heapify(ends)
        free, started = 0.0, workers
        for _ in range(n):
            end, _ = heapq.heappop(ends)
            free = max(free, end) + service
            heapq.heappush(ends, (free + times[started], started))
            started += 1
        rows.append({"workers": workers, "batches/s": n / free, "MB/s": n / free * cost["bytes"] / 1e6})
        rows[-1]["share"] = n / free * batch_time / workers
    reached = f"driver's limit {1 / service:.0f} batches/s, reached by {batch_time / service:.0f} workers"
    print(f"\nbatches of {batch_time:.2f} s and {cost['bytes'] / 1e3:.0f} KB: {reached}")
    for row in rows:
        print("{workers:6} workers {batches/s:8.1f} batches/s {MB/s:8.1f} MB/s {share:6.1%}".format(**row))
    return {"batch time": batch_time, "bytes": cost["bytes"], "rows": rows}


if __name__ == "__main__":
    main()
