"""The hub, through the real client libraries: models and data sets from a stub on localhost (see hub_stub).

The libraries read HF_ENDPOINT when they are imported, so they run in processes of their own; and the scripts in a copy
of src/, because step 1 keeps hub audio in the data/ beside it.
"""

import json
import shutil
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import forked
import hub_repos
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import transformers
from conftest import ROOT
from hub_stub import HubStub, client_env, commit_of, refusing_endpoint

from models import configure, make_model
from speechemb.corpora import votes

pytestmark = pytest.mark.slow  # most tests start processes that import datasets or transformers
IEMOCAP, CREMAD = "Zahra99/IEMOCAP_Audio", "AbstractTTS/CREMA-D"


@pytest.fixture(scope="module")
def repos(tmp_path_factory) -> Path:
    """The folder tree of the hub: good and gated repositories, a model of three commits."""
    root = tmp_path_factory.mktemp("hub")
    models, data = root / "models", root / "datasets"
    for seed, revision in enumerate(("main", "v1", "bin")):
        make_model(models / "org/tiny" / revision, "wavlm", hidden_size=32, num_hidden_layers=2, seed=seed)
    hub_repos.with_bin_weights(models / "org/tiny/bin")
    hub_repos.save_zahra_iemocap(data / IEMOCAP / "main", turn_names=True)
    hub_repos.save_zahra_iemocap(data / "org/nameless/main", turn_names=False)
    hub_repos.save_abstracttts_iemocap(data / "AbstractTTS/IEMOCAP/main")
    hub_repos.save_abstracttts_cremad(data / CREMAD / "main")
    hub_repos.save_confit_cremad(data / "confit/cremad-parquet/main")
    for closed, like in ((models / "org/gated", models / "org/tiny"), (data / "org/gated", data / CREMAD)):
        shutil.copytree(like, closed)
        (closed / ".gated").touch()
    scripted = data / "org/scripted/main"
    scripted.mkdir(parents=True)
    (scripted / "scripted.py").write_text("raise SystemExit('a data set ran its own code')\n")
    save_files(data)
    return root


def save_files(data: Path) -> None:
    """Data sets of plain audio files, one that asks for a file of this machine, and one that is damaged."""
    import pyarrow
    import pyarrow.parquet
    from datasets import Audio, Features, Value

    names = ["1001_IEO_ANG_HI", "1001_IEO_SAD_HI", "1002_IEO_ANG_HI", "1002_IEO_SAD_HI"]
    for number, name in enumerate(names):
        for repo, path in (("plain", f"{name}.wav"), ("folders", f"{('anger', 'sad')[number % 2]}/take_{number}.wav")):
            file = data / "org" / repo / "main" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(hub_repos.wav_bytes(number))
    secret = data.parent / "secret.wav"
    secret.write_bytes(hub_repos.wav_bytes(9))
    features = Features({"file": Value("string"), "audio": Audio(), "emotion": Value("string")})
    columns = {"file": ["a.wav"], "audio": [{"bytes": None, "path": str(secret)}], "emotion": ["sad"]}
    for repo in ("thief", "damaged"):
        (data / "org" / repo / "main").mkdir(parents=True)
        table = pyarrow.Table.from_pydict(columns, schema=features.arrow_schema)
        pyarrow.parquet.write_table(table, data / "org" / repo / "main" / "train.parquet")
    whole = (data / "org/damaged/main/train.parquet").read_bytes()
    (data / "org/damaged/main/train.parquet").write_bytes(whole[:200] + bytes(200) + whole[400:])


@pytest.fixture(scope="module")
def hub(repos):
    with HubStub(repos) as stub:
        yield stub


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """The libraries' cache of all runs that reach the hub; warm once the first of them is over."""
    return tmp_path_factory.mktemp("hf_home")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


class Done(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


# Runs commands as `python src/<script>.py <arguments>` would, several in one process: importing transformers takes
# longer than most of them. The streams are exchanged below Python, where logging handlers and libraries write too.
RUNNER = """
import json, os, runpy, sys, traceback
for name, (script, *args) in json.loads(sys.argv[1]).items():
    for stream in (1, 2):
        os.dup2(os.open(f"{name}.{stream}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    sys.argv = [f"src/{script}.py", *args]
    code = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code
    except Exception:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    with open(f"{name}.code", "w") as file:
        file.write(str(code or 0))
"""


def python(env: dict[str, str], code: str, *args: str, cwd: Path | None = None) -> str:
    """What a program prints. A client that waits for ever fails the test instead of holding up the suite."""
    command = [sys.executable, "-c", code, *args]
    done = forked.run(command, env=env, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_scripts(checkout: Path, env: dict[str, str], commands: dict[str, list[str]]) -> dict[str, Done]:
    """Run commands (name -> script, arguments) one after the other; name -> how it ended."""
    python(env | {"PYTHONPATH": "src"}, RUNNER, json.dumps(commands), cwd=checkout)
    read = {name: [(checkout / f"{name}.{end}").read_text() for end in ("code", "1", "2")] for name in commands}
    return {name: Done(int(code), stdout, stderr) for name, (code, stdout, stderr) in read.items()}


def preprocess(corpus: str, source: str, out: str, *more: str) -> list[str]:
    """Step 1 on a hub copy; CSVs into `out`."""
    return ["1_data_preprocessing", "--corpora", corpus, f"--{corpus}-source", source, "--out-dir", out, *more]


def extract(model: str, out: str) -> list[str]:
    """Step 2 on the clips of the command `cremad`."""
    fixed = ["--metadata", "cremad/cremad.csv", "--precision", "fp32", "--device", "cpu"]
    return ["2_wavlm_feature_extraction", "--model", model, "--out", out, *fixed]


WHOLE = ("--iemocap-fraction", "1")
STEP_1 = {
    "cremad": preprocess("cremad", "hub", "cremad"),
    "cremad_all": preprocess("cremad", "hub", "cremad_all", "--emotions", "all"),
    "confit_all": preprocess("cremad", "confit/cremad-parquet", "confit_all", "--emotions", "all"),
    "iemocap": preprocess("iemocap", "hub", "iemocap", *WHOLE),
    "nameless": preprocess("iemocap", "org/nameless", "nameless", *WHOLE),
    "half": preprocess("iemocap", "hub", "half", "--iemocap-fraction", "0.5"),
    "soft": preprocess("iemocap", "AbstractTTS/IEMOCAP", "soft", *WHOLE),
    "missing": preprocess("cremad", "org/none", "x"),
    "gated": preprocess("cremad", "org/gated", "x"),
    "no_revision": preprocess("cremad", f"{CREMAD}@v9", "x"),
    "scripted": preprocess("cremad", "org/scripted", "x"),
    "plain": preprocess("cremad", "org/plain", "plain", "--emotions", "all"),
    "folders": preprocess("cremad", "org/folders", "folders", "--emotions", "all"),
    "thief": preprocess("cremad", "org/thief", "x"),
    "damaged": preprocess("cremad", "org/damaged", "x"),
}
STEP_2 = {
    "main": extract("org/tiny", "main.npz"),
    "v1": extract("org/tiny@v1", "v1.npz"),
    "bin": extract("org/tiny@bin", "bin.npz"),
    "missing": extract("org/none", "x.npz"),
    "gated": extract("org/gated", "x.npz"),
    "no_revision": extract("org/tiny@v9", "x.npz"),
    "no_id": extract("org/ti ny", "x.npz"),
}


@pytest.fixture(scope="module")
def step_1(checkout, hub, home) -> dict[str, Done]:
    return run_scripts(checkout, client_env(hub.endpoint, home), STEP_1)


@pytest.fixture(scope="module")
def step_2(checkout, hub, home, step_1) -> dict[str, Done]:
    assert step_1["cremad"].code == 0, step_1["cremad"].stderr
    return run_scripts(checkout, client_env(hub.endpoint, home), STEP_2)


def metadata(checkout: Path, out: str, corpus: str) -> pd.DataFrame:
    return pd.read_csv(checkout / out / f"{corpus}.csv", keep_default_na=False, dtype=str)


def assert_refused(done: Done, *words: str) -> None:
    """Exit code 1 and one line on stderr, an error that holds these words: no traceback, no chatter of libraries."""
    assert done.code == 1, done
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: "), done.stderr
    for word in words:
        assert word in done.stderr


# The stub itself, against the libraries' own calls


def test_from_pretrained_takes_the_commit_asked_for(repos, hub, home):
    code = """
import json, sys
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
found = {}
for revision in (None, "v1", sys.argv[1]):
    model = AutoModel.from_pretrained("org/tiny", revision=revision)
    rate = AutoFeatureExtractor.from_pretrained("org/tiny", revision=revision).sampling_rate
    found[str(revision)] = [model.masked_spec_embed.tolist(), rate]
for repo, revision in (("org/none", None), ("org/gated", None), ("org/tiny", "v9")):
    try:
        AutoConfig.from_pretrained(repo, revision=revision)
    except OSError as error:
        found[f"{repo}@{revision}"] = type(error.__cause__).__name__
print(json.dumps(found))
"""
    revisions = {name: repos / "models/org/tiny" / name for name in ("main", "v1")}
    sha = commit_of(revisions["v1"])
    found = python(client_env(hub.endpoint, home), code, sha)
    weights = {
        n: transformers.AutoModel.from_pretrained(path).masked_spec_embed.tolist() for n, path in revisions.items()
    }
    assert weights["main"] != weights["v1"]
    assert json.loads(found) == {
        "None": [weights["main"], 16_000],
        "v1": [weights["v1"], 16_000],
        sha: [weights["v1"], 16_000],
        "org/none@None": "RepositoryNotFoundError",
        "org/gated@None": "GatedRepoError",
        "org/tiny@v9": "RevisionNotFoundError",
    }


def test_load_dataset_reads_the_stub(hub, home):
    code = """
import json
from datasets import Audio, load_dataset
found = {}
for repo in ("Zahra99/IEMOCAP_Audio", "AbstractTTS/IEMOCAP", "AbstractTTS/CREMA-D", "confit/cremad-parquet"):
    splits = load_dataset(repo)
    rows = [row for split in splits.values() for row in split.cast_column("audio", Audio(decode=False))]
    found[repo] = [list(splits), list(rows[0]), len(rows), rows[0]["audio"]["path"]]
for repo, revision in (("org/none", None), ("org/gated", None), ("AbstractTTS/CREMA-D", "v9")):
    try:
        load_dataset(repo, revision=revision)
    except OSError as error:
        found[repo] = [*found.get(repo, []), type(error).__name__, str(error)]
print(json.dumps(found))
"""
    found = json.loads(python(client_env(hub.endpoint, home), code))
    sessions = [f"session{n}" for n in range(1, 6)]
    assert found[IEMOCAP] == [sessions, ["audio", "label"], 40, "Ses01F_impro01_F000.wav"]
    assert found["AbstractTTS/IEMOCAP"][0::2] == [["train"], 18]
    assert found["confit/cremad-parquet"][:3] == [
        ["train", "validation", "test"],
        ["file", "audio", "emotion", "label"],
        18,
    ]
    assert found[CREMAD][0::2] == [["train"], 18, "DatasetNotFoundError"]
    assert "Revision 'v9'" in found[CREMAD][5]
    assert found["org/none"] == [
        "DatasetNotFoundError",
        "Dataset 'org/none' doesn't exist on the Hub or cannot be accessed.",
    ]
    assert "is a gated dataset" in found["org/gated"][1]


# Step 1


def test_iemocap_from_the_hub_knows_its_speakers(repos, checkout, step_1):
    assert step_1["iemocap"].code == 0, step_1["iemocap"].stderr
    table = metadata(checkout, "iemocap", "iemocap")
    assert table.emotion.value_counts().to_dict() == dict.fromkeys(("angry", "happy", "neutral", "sad"), 10)
    # The last field's letter is the speaker; the marker wearer is F in every name.
    assert table.speaker.value_counts().to_dict() == {f"Ses0{n}_{letter}": 4 for n in range(1, 6) for letter in "FM"}
    row = table[table.clip_id == "iemocap/Ses02F_impro03_M006"].iloc[0]
    assert (row.speaker, row.session, row.gender, row.emotion) == ("Ses02_M", "Ses02", "male", "neutral")
    assert (checkout / row.path).read_bytes() == hub_repos.wav_bytes(8 * 2 + 6)
    assert commit_of(repos / "datasets" / IEMOCAP / "main") in (checkout / "iemocap/iemocap.meta.json").read_text()


def test_iemocap_without_turn_names_knows_only_sessions(checkout, step_1):
    assert step_1["nameless"].code == 0, step_1["nameless"].stderr
    table = metadata(checkout, "nameless", "iemocap")
    assert set(table.speaker) == {""}
    assert table.session.value_counts().to_dict() == {f"Ses0{n}": 8 for n in range(1, 6)}
    assert table.clip_id.is_unique and table.audio_sha256.is_unique
    for path in table.path:
        assert soundfile.info(checkout / path).duration == pytest.approx(0.4)


def test_half_of_iemocap_is_even_over_emotions_and_sessions(checkout, step_1):
    assert step_1["half"].code == 0, step_1["half"].stderr
    table = metadata(checkout, "half", "iemocap")
    assert len(table) == 20 and set(table.groupby(["emotion", "session"]).size()) == {1}


def test_the_other_iemocap_copy_is_said_not_to_be_comparable(checkout, step_1):
    assert step_1["soft"].code == 0, step_1["soft"].stderr
    table = metadata(checkout, "soft", "iemocap")
    # excited counts as happy in the four-class set
    assert table.emotion.value_counts().to_dict() == {"angry": 2, "happy": 4, "neutral": 2, "sad": 2}
    assert set(table.speaker.str[-1]) == {"F", "M"}
    assert "5,531" in step_1["soft"].stderr
    scores = votes.read(checkout / "data" / "IEMOCAP" / "hub" / "AbstractTTS--IEMOCAP" / "raters.csv")
    assert len(scores.classes) == 9 and np.isfinite(scores.of(table.clip_id.tolist(), table.path.tolist())).all()
    assert "give them to step 3 with --raters" in step_1["soft"].stderr


@pytest.mark.parametrize("run", ["cremad_all", "confit_all"])
def test_cremad_from_the_hub(checkout, step_1, run):
    assert step_1[run].code == 0, step_1[run].stderr
    table = metadata(checkout, run, "cremad").set_index("clip_id")
    emotions = ("angry", "disgust", "fearful", "happy", "neutral", "sad")
    assert table.emotion.value_counts().to_dict() == dict.fromkeys(emotions, 3)
    assert table.speaker.value_counts().to_dict() == dict.fromkeys(hub_repos.CREMAD_ACTORS, 6)
    assert set(table.sentence) == {"IEO"}
    for index, file, _, _ in hub_repos.cremad_clips():
        row = table.loc[f"cremad/{Path(file).stem}"]
        assert (checkout / row.path).read_bytes() == hub_repos.wav_bytes(index)


@pytest.mark.parametrize("body", ["[]", "<html>sign in</html>", "{}"])
@pytest.mark.parametrize("status", [200, 500])
def test_a_hub_that_answers_nonsense_is_one_line(checkout, tmp_path, body, status):
    """As the page of a hotel's network, which answers in the hub's place."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        do_HEAD = do_POST = do_GET

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        env = client_env(f"http://127.0.0.1:{server.server_address[1]}", tmp_path)
        done = run_scripts(checkout, env, {"x": STEP_1["iemocap"]})["x"]
        server.shutdown()
    assert_refused(done, IEMOCAP, "--data-dir")


@pytest.mark.parametrize(
    "run, words",
    [
        ("missing", ["org/none", "--data-dir"]),
        ("gated", ["org/gated", "gated", "hf auth login"]),
        ("no_revision", [CREMAD, "v9", "@"]),
        ("scripted", ["org/scripted", "--data-dir"]),
        ("plain", ["org/plain", "plain audio files", "--data-dir"]),
        ("folders", ["org/folders", "plain audio files", "--data-dir"]),
        ("thief", ["org/thief", "holds no audio"]),
        ("damaged", ["org/damaged", "--data-dir"]),
    ],
)
def test_a_data_set_that_cannot_be_had_is_one_line(step_1, run, words):
    assert_refused(step_1[run], *words)


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_data_set_without_a_network_is_one_line(checkout, tmp_path, offline):
    env = client_env(refusing_endpoint(), tmp_path, HF_HUB_OFFLINE=offline)
    assert_refused(run_scripts(checkout, env, {"x": STEP_1["iemocap"]})["x"], IEMOCAP, "--data-dir")


def test_a_cached_data_set_needs_no_network_but_another_commit_does(checkout, home, step_1):
    """datasets, offline, gives the commit in its cache whatever commit it is asked for."""
    commands = {
        "cached": preprocess("cremad", "hub", "cached"),
        "other": preprocess("cremad", f"{CREMAD}@{'0' * 40}", "other"),
    }
    done = run_scripts(checkout, client_env(refusing_endpoint(), home, HF_HUB_OFFLINE="1"), commands)
    assert done["cached"].code == 0, done["cached"].stderr
    assert (checkout / "cached/cremad.csv").read_bytes() == (checkout / "cremad/cremad.csv").read_bytes()
    assert done["other"].code == 1 and "\nerror: " in "\n" + done["other"].stderr, done["other"]


# Step 2


@pytest.mark.parametrize("revision", ["main", "v1", "bin"])
def test_embeddings_come_from_the_revision_asked_for(repos, checkout, step_2, revision):
    assert step_2[revision].code == 0, step_2[revision].stderr
    folder = repos / "models/org/tiny" / revision
    with np.load(checkout / f"{revision}.npz", allow_pickle=False) as npz:
        assert commit_of(folder) in str(npz["meta"])
        embedding = npz["embeddings"][list(npz["clip_ids"]).index("cremad/1001_IEO_ANG_HI")]
    clips = metadata(checkout, "cremad", "cremad").set_index("clip_id")
    samples, _ = soundfile.read(checkout / clips.path["cremad/1001_IEO_ANG_HI"], dtype="float32")
    with torch.inference_mode():
        network = transformers.AutoModel.from_pretrained(folder).eval()
        hidden = network(torch.from_numpy(samples)[None], output_hidden_states=True).hidden_states
    alone = np.stack([layer[0].mean(0).numpy() for layer in hidden])
    assert np.linalg.norm(embedding - alone) / np.linalg.norm(alone) < 1e-4


def test_a_cached_model_needs_no_network(checkout, home, step_2):
    env = client_env(refusing_endpoint(), home, HF_HUB_OFFLINE="1")
    done = run_scripts(checkout, env, {"cached": extract("org/tiny@v1", "cached.npz")})["cached"]
    assert done.code == 0, done.stderr
    assert (checkout / "cached.npz").read_bytes() == (checkout / "v1.npz").read_bytes()


@pytest.mark.parametrize(
    "run, words",
    [
        ("missing", ["org/none"]),
        ("gated", ["org/gated", "hf auth login"]),
        ("no_revision", ["org/tiny", "v9"]),
        ("no_id", ["org/ti ny"]),
    ],
)
def test_a_model_that_cannot_be_had_is_one_line(checkout, step_2, run, words):
    assert_refused(step_2[run], "--model", *words)
    assert not (checkout / "x.npz").exists()


@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_model_without_a_network_is_one_line(checkout, step_1, tmp_path, offline):
    env = client_env(refusing_endpoint(), tmp_path, HF_HUB_OFFLINE=offline)
    words = ("org/tiny", "folder", "--model wavlm_nano", "--model acoustic")
    assert_refused(run_scripts(checkout, env, {"x": STEP_2["main"]})["x"], *words)


def test_an_artifact_s_encoder_is_its_commit_or_a_folder_with_its_weights(repos, hub, home):
    """`main` has moved on since; and a clone of the old commit is the same encoder."""
    code = """
import json, sys
from speechemb import encoders
from speechemb.errors import InputError
old = encoders.load("org/tiny@v1", "cpu", "fp32").identity
found = encoders.load_recorded(old, "org/tiny", "fp32", "cpu").identity
clone = encoders.load_recorded(old, sys.argv[1], "fp32", "cpu").identity
try:
    encoders.load_recorded(old, sys.argv[2], "fp32", "cpu")
    other = ""
except InputError as error:
    other = str(error)
print(json.dumps([old, found, clone, other]))
"""
    folders = [str(repos / "models/org/tiny" / name) for name in ("v1", "main")]
    env = client_env(hub.endpoint, home) | {"PYTHONPATH": str(ROOT / "src")}
    old, found, clone, other = json.loads(python(env, code, *folders))
    assert old["revision"] == commit_of(repos / "models/org/tiny/v1") and found == old
    assert clone["weights_sha256"] == old["weights_sha256"] and clone["revision"] != old["revision"]
    assert "--encoder" in other


def test_python_in_a_repository_never_runs(repos, hub, home, tmp_path):
    code = """
from speechemb import encoders
print(encoders.load("org/coded", "cpu", "fp32").n_layers)
"""
    folder = make_model(repos / "models/org/coded/main", "wavlm", hidden_size=32, num_hidden_layers=2)
    (folder / "custom.py").write_text("from pathlib import Path\nPath('the-repository-ran').touch()\n")
    configure(folder, auto_map={"AutoConfig": "custom.Config", "AutoModel": "custom.Model"})
    env = client_env(hub.endpoint, home) | {"PYTHONPATH": str(ROOT / "src")}
    assert python(env, code, cwd=tmp_path) == "2\n" and not list(tmp_path.iterdir())
    assert not any("custom.py" in request for request in hub.requests)
