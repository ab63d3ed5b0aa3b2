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
NANO = ["--model", str(ROOT / "models" / "wavlm-nano"), "--precision", "fp32", "--batch-seconds", "1"]


@pytest.fixture(scope="module")
def tones(script, tmp_path_factory):
    """The flags of step 2 for a corpus with features of its own, and the npz that one machine makes of it."""
    folder = tmp_path_factory.mktemp("tones")
    csv = corpus(script, folder, speakers=4)
    rng = np.random.default_rng(0)
    np.savez(folder / "own.npz", **{path.stem: rng.normal(size=(5, 3)) for path in (folder / "tones").glob("*.wav")})
    flags = ["--metadata", str(csv), "--model", f"features:{folder / 'own.npz'}", "--batch-seconds", "2"]
    script("2_wavlm_feature_extraction").main([*flags, "--out", str(folder / "whole.npz")])
    return flags, folder / "whole.npz"


def corpus(script, folder, name="tones", **sizes):
    """Step 1's file of a corpus of tones."""
    table = made.corpus(folder / name, **sizes)
    script("1_data_preprocessing").main(["--corpora", f"table:{table}", "--out-dir", str(folder / "processed")])
    return folder / "processed" / f"{name}.csv"


@pytest.fixture
def shard(script, tones, tmp_path, capsys):
    """`shard("1/3", ...)` runs a shard of the corpus and returns the last line that it printed."""

    def run(part, *more, flags=tones[0]):
        script("2_wavlm_feature_extraction").main([*flags, "--out", str(tmp_path / "a.npz"), "--shard", part, *more])
        return capsys.readouterr().out.splitlines()[-1]

    return run


def test_shards_in_any_order_and_twice_give_the_same_bytes(shard, tones, tmp_path):
    assert shard("2/3") == "shard 2/3 is done; still to be run: --shard 1/3, 3/3"
    rows = tmp_path / "a.npz.shards" / "2-of-3.partial" / "rows.npy"
    written = rows.stat().st_mtime_ns
    assert shard("3/3").endswith("still to be run: --shard 1/3")
    assert shard("2/3").endswith("still to be run: --shard 1/3") and rows.stat().st_mtime_ns == written
    assert "a.npz: 32 clips x 1 layers x 3 dimensions" in shard("1/3")
    assert (tmp_path / "a.npz").read_bytes() == tones[1].read_bytes()
    assert os.listdir(tmp_path) == ["a.npz"]
    assert "is up to date, skipped" in shard("3/3")


@pytest.mark.slow
def test_shards_that_end_at_the_same_time_do_not_mix(script, tones, tmp_path):
    run = script("2_wavlm_feature_extraction").main
    for n in (3, 40):  # 40: more than there are batches
        parts = [[*tones[0], "--out", str(tmp_path / f"{n}.npz"), "--shard", f"{i}/{n}"] for i in range(1, n + 1)]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(run, parts))
        assert (tmp_path / f"{n}.npz").read_bytes() == tones[1].read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["3.npz", "40.npz"]


def test_a_damaged_shard_is_named_and_mended(shard, tones, tmp_path):
    shard("1/2")
    rows = tmp_path / "a.npz.shards" / "1-of-2.partial" / "rows.npy"
    content = bytearray(rows.read_bytes())
    content[-1] ^= 1
    rows.write_bytes(content)
    assert shard("2/2") == "shard 2/2 is done; still to be run: --shard 1/2"
    assert not (tmp_path / "a.npz").exists() and "wrote" in shard("1/2")
    assert (tmp_path / "a.npz").read_bytes() == tones[1].read_bytes()


def test_a_shard_with_other_settings_is_refused(shard, script, tones, tmp_path):
    shard("1/2")
    other = corpus(script, tmp_path, "more", speakers=2)
    with pytest.raises(
        InputError, match="1-of-2.partial holds an unfinished run with another clips, encoder, metadata: give"
    ):
        shard("2/2", flags=["--metadata", str(other), *tones[0][2:]])
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
    flags = ["--metadata", tones[0][1], *NANO, "--out", str(tmp_path / "a.npz"), "--ray"]
    assert cli.run(lambda: script("2_wavlm_feature_extraction").main(flags)) == 1
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
def test_a_killed_shard_resumes(script, tmp_path):
    flags = ["--metadata", str(corpus(script, tmp_path, speakers=4)), *NANO]
    run, out = script("2_wavlm_feature_extraction").main, ["--out", str(tmp_path / "a.npz")]
    run([*flags, "--out", str(tmp_path / "whole.npz")])
    process = started(*flags, *out, "--shard", "1/2")
    wait_for(2, tmp_path / "a.npz.shards" / "1-of-2.partial" / "done.txt", process)
    killed(process)
    for part in ("2/2", "1/2"):
        run([*flags, *out, "--shard", part])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()


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
    flags = ["--metadata", str(corpus(script, tmp_path, speakers=12, takes=4)), *NANO]
    script("2_wavlm_feature_extraction").main([*flags, "--out", str(tmp_path / "whole.npz")])
    out = tmp_path / "a.npz"
    machine = {"num_cpus": 1, "object_store_memory": 80_000_000}
    first, second = cluster.add_node(**machine), cluster.add_node(**machine)
    command = [*flags, "--out", str(out), "--ray", cluster.address]
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
    flags = ["--metadata", str(corpus(script, tmp_path, speakers=1)), *NANO, "--out", str(tmp_path / "a.npz"), "--ray"]
    (tmp_path / "tones" / "s0_happy_0.wav").unlink()
    cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    with pytest.raises(InputError, match=r"s0_happy_0.wav: missing \(on "):
        script("2_wavlm_feature_extraction").main([*flags, cluster.address])
    with pytest.raises(InputError, match="--ray 127.0.0.1:1: .*refused: start a cluster with `ray start --head`"):
        script("2_wavlm_feature_extraction").main([*flags, "127.0.0.1:1"])
