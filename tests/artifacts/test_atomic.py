"""Files appear whole, together and in order; what killed runs left behind goes, what living ones use stays."""

import os
import signal
import subprocess
import sys
import time

import pytest

from speechemb.artifacts import atomic


def test_files_appear_together_or_not_at_all(tmp_path):
    old = tmp_path / "old"
    old.write_text("vouches")
    with pytest.raises(ZeroDivisionError), atomic.together() as files:
        files.remove(old)
        files.temporary(tmp_path / "sub" / "a").write_text("a")
        _ = 1 / 0
    assert old.exists() and not list((tmp_path / "sub").iterdir())
    with atomic.together() as files:
        files.remove(old)
        files.temporary(tmp_path / "sub" / "a").write_text("a")
        files.temporary(tmp_path / "b").write_text("b")
        assert not (tmp_path / "b").exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "sub"]


def test_what_a_killed_process_left_is_swept_and_what_a_living_one_writes_stays(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from speechemb.artifacts import atomic\n"
        "with atomic.atomic(Path(sys.argv[1])) as t: t.write_text('x'); print(t, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "file.csv")]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    left = writer.stdout.readline().strip()
    atomic.sweep(tmp_path)
    assert os.path.exists(left)
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    time.sleep(0.1)
    with atomic.atomic(tmp_path / "other.csv") as temporary:
        temporary.write_text("y")
    assert [path.name for path in tmp_path.iterdir()] == ["other.csv"]


def test_one_process_at_a_time_holds_a_lock(tmp_path):
    with atomic.held(tmp_path / "lock") as first, atomic.held(tmp_path / "lock") as second:
        assert first and not second
    with atomic.held(tmp_path / "lock") as again:
        assert again
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_swept(tmp_path):
    code = (
        "import os, signal, sys; from pathlib import Path; from speechemb.artifacts import atomic\n"
        "with atomic.held(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "file.npz")])
    assert [path.name for path in tmp_path.iterdir()] == [".file.npz.lock.tmp"]
    atomic.check_writable(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_probed(tmp_path):
    atomic.check_writable(tmp_path / "new" / "deep")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        atomic.check_writable(tmp_path / "file" / "below")
    with pytest.raises(NotADirectoryError), atomic.atomic(tmp_path / "file" / "x.csv"):
        pass
