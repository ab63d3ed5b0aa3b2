"""Step 2 on several machines: shards and a Ray cluster give the bytes of a run on one machine, whatever is killed."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import made
import numpy as np
import pytest
from conftest import ROOT

from speechemb import cli
from speechemb.errors import InputError

STEP2 = ROOT / "src" / "2_wavlm_feature_extraction.py"
NANO = ["--model", str(ROOT / "models" / "wavlm-nano"), "--precision", "fp32", "--batch-seconds", "4"]


@pytest.fixture(scope="module")
def tones(script, tmp_path_factory):
    """The metadata of a corpus, and the npz that one machine makes of it."""
    folder = tmp_path_factory.mktemp("tones")
    table = made.corpus(folder / "tones", speakers=2)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(folder / "processed")])
    script("2_wavlm_feature_extraction").main(flags(folder / "processed" / "tones.csv", folder / "whole.npz"))
    return folder / "processed" / "tones.csv", folder / "whole.npz"


def flags(csv, out, *more):
    return ["--metadata", str(csv), "--out", str(out), *NANO, *more]


@pytest.fixture
def shard(script, tones, tmp_path, capsys):
    """`shard("1/3", ...)` runs a shard of the corpus and returns the last line that it printed."""

    def run(part, *more, csv=tones[0]):
        script("2_wavlm_feature_extraction").main(flags(csv, tmp_path / "a.npz", "--shard", part, *more))
        return capsys.readouterr().out.splitlines()[-1]

    return run


def test_shards_in_any_order_and_twice_give_the_same_bytes(shard, tones, tmp_path):
    assert shard("2/3") == "shard 2/3 is done; still to be run: --shard 1/3, 3/3"
    rows = tmp_path / "a.npz.shards" / "2-of-3.partial" / "rows.npy"
    written = rows.stat().st_mtime_ns
    assert shard("3/3").endswith("still to be run: --shard 1/3")
    assert shard("2/3").endswith("still to be run: --shard 1/3") and rows.stat().st_mtime_ns == written
    assert "a.npz: 16 clips x 7 layers x 192 dimensions" in shard("1/3")
    assert (tmp_path / "a.npz").read_bytes() == tones[1].read_bytes()
    assert os.listdir(tmp_path) == ["a.npz"]
    assert "is up to date, skipped" in shard("3/3")


def test_shards_that_end_at_the_same_time_do_not_mix(script, tones, tmp_path):
    run = script("2_wavlm_feature_extraction").main
    for n in (3, 6):  # 6: more than there are batches
        parts = [flags(tones[0], tmp_path / f"{n}.npz", "--shard", f"{i}/{n}") for i in range(1, n + 1)]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(run, parts))
        assert (tmp_path / f"{n}.npz").read_bytes() == tones[1].read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["3.npz", "6.npz"]


def test_a_damaged_shard_is_named_and_mended(shard, tones, tmp_path):
    shard("1/2")
    rows = tmp_path / "a.npz.shards" / "1-of-2.partial" / "rows.npy"
    content = bytearray(rows.read_bytes())
    content[-1] ^= 1
    rows.write_bytes(content)
    assert shard("2/2") == "shard 2/2 is done; still to be run: --shard 1/2"
    assert not (tmp_path / "a.npz").exists() and "wrote" in shard("1/2")
    assert (tmp_path / "a.npz").read_bytes() == tones[1].read_bytes()


def test_a_shard_with_other_settings_is_refused(shard, script, tmp_path):
    shard("1/2")
    table = made.corpus(tmp_path / "more", speakers=1)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "processed")])
    with pytest.raises(InputError, match="1-of-2.partial holds an unfinished run with another clips, metadata: give"):
        shard("2/2", csv=tmp_path / "processed" / "more.csv")
    with pytest.raises(InputError, match="another pooling: .*--overwrite"):
        shard("2/2", "--pooling", "std")
    with pytest.raises(InputError, match="is a shard of 2, not of 3: give --shard I/2, or remove .*a.npz.shards"):
        shard("2/3")
    assert os.listdir(tmp_path / "a.npz.shards") == ["1-of-2.partial"]
    assert shard("2/2", "--pooling", "std", "--overwrite").endswith("still to be run: --shard 1/2")


def test_shards_of_different_precisions_are_not_mixed(shard, tmp_path):
    shard("1/2")
    (tmp_path / "a.npz.shards" / "1-of-2.partial" / "precision.txt").write_text("bf16")
    with pytest.raises(InputError, match=r"in bf16 \(--shard 1/2\) and fp32 \(--shard 2/2\), on processors of diff"):
        shard("2/2", "--overwrite")
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize("words", [["0/3"], ["4/3"], ["3"], ["a/b"], ["-1/3"], ["1/2", "--ray"]])
def test_wrong_values_are_refused(shard, words, capsys):
    with pytest.raises(SystemExit) as caught:
        shard(*words)
    assert caught.value.code == 2 and "argument --" in capsys.readouterr().err


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_one_line_says_how_to_get_it(script, tones, tmp_path, capsys):
    assert cli.run(lambda: script("2_wavlm_feature_extraction").main(flags(tones[0], tmp_path / "a.npz", "--ray"))) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "run `pip install -e .[cluster]` on every machine" in error


def started(*words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, str(STEP2), *words], stderr=subprocess.PIPE, env=environment, text=True)


def wait_for(batches, done, process):
    """Until so many batches are recorded."""
    while process.poll() is None and not (done.exists() and len(done.read_text().splitlines()) >= batches):
        time.sleep(0.001)
    assert process.poll() is None, process.stderr.read()


def killed(process):
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()


@pytest.mark.slow
def test_a_killed_shard_resumes(shard, tones, tmp_path):
    shard("2/2", "--batch-seconds", "1")
    process = started(*flags(tones[0], tmp_path / "a.npz", "--batch-seconds", "1", "--shard", "1/2"))
    wait_for(2, tmp_path / "a.npz.shards" / "1-of-2.partial" / "done.txt", process)
    killed(process)
    assert "wrote" in shard("1/2", "--batch-seconds", "1")
    with np.load(tmp_path / "a.npz") as a, np.load(tones[1]) as b:
        np.testing.assert_allclose(a["embeddings"], b["embeddings"], atol=2e-4)  # other batches, other last digits


@pytest.fixture
def cluster(monkeypatch):
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e .[cluster]")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    options = {"num_cpus": 0, "object_store_memory": 80_000_000, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=options)
    yield made
    with contextlib.suppress(Exception):
        made.shutdown()


@pytest.mark.slow
def test_ray_gives_the_same_bytes_whatever_ends_in_between(cluster, script, tmp_path):
    """Of two machines one is killed, then the driver, then the other one, when a third has joined."""
    table = made.corpus(tmp_path / "tones", speakers=12, takes=4)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "processed")])
    csv, out, small = tmp_path / "processed" / "tones.csv", tmp_path / "a.npz", ["--batch-seconds", "1"]
    script("2_wavlm_feature_extraction").main(flags(csv, tmp_path / "whole.npz", *small))
    machine = {"num_cpus": 1, "object_store_memory": 80_000_000}
    first, second = cluster.add_node(**machine), cluster.add_node(**machine)
    command = flags(csv, out, *small, "--ray", cluster.address)
    done = tmp_path / "a.npz.partial" / "done.txt"

    driver = started(*command)
    wait_for(5, done, driver)
    cluster.remove_node(first, allow_graceful=False)
    wait_for(len(done.read_text().splitlines()) + 5, done, driver)
    killed(driver)
    assert not out.exists()

    driver = started(*command)
    wait_for(len(done.read_text().splitlines()) + 5, done, driver)
    cluster.remove_node(second, allow_graceful=False)
    cluster.add_node(**machine)
    assert driver.wait() == 0, driver.stderr.read()
    assert out.read_bytes() == (tmp_path / "whole.npz").read_bytes() and not done.exists()


@pytest.mark.slow
def test_a_machine_that_cannot_read_the_audio_is_named(cluster, script, tmp_path):
    table = made.corpus(tmp_path / "tones", speakers=2)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(tmp_path / "processed")])
    (tmp_path / "tones" / "s0_happy_0.wav").unlink()
    csv, run = tmp_path / "processed" / "tones.csv", script("2_wavlm_feature_extraction").main
    cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    with pytest.raises(InputError, match=r"s0_happy_0.wav: missing \(on "):
        run(flags(csv, tmp_path / "a.npz", "--ray", cluster.address))
    with pytest.raises(InputError, match="--ray 127.0.0.1:1: .*start a cluster with `ray start --head`"):
        run(flags(csv, tmp_path / "a.npz", "--ray", "127.0.0.1:1"))
