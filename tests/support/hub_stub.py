"""A Hugging Face hub on localhost for the real client libraries, small enough to read.

It answers what `transformers.Auto*.from_pretrained` and `datasets.load_dataset` ask of https://huggingface.co:
repository information, listings and files. A folder tree is the hub:

    <root>/models/<org>/<name>/<revision>/<files>
    <root>/datasets/<org>/<name>/<revision>/<files>

A revision folder is one commit, reached by its name (a branch or a tag; `main` is the default) or by its sha
(`commit_of`). A repository with a file `.gated` beside its revisions refuses files, `GatedRepo`: 401 without a token,
403 with one. A missing repository is 401 without a token (the hub does not tell missing from private), 404 with one,
`RepoNotFound`; an unknown revision 404 `RevisionNotFound`; an unknown file 404 `EntryNotFound`. One difference: the
real hub's anonymous 401 may lack X-Error-Code, which its client accepts from https addresses only.

    with HubStub(root) as hub:
        subprocess.run(command, env=client_env(hub.endpoint, tmp_path / "hf_home"))
"""

import hashlib
import json
import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


def client_env(endpoint: str, hf_home: Path, **more: str) -> dict[str, str]:
    """The environment of a subprocess that takes `endpoint` for the hub and caches below `hf_home`, without a token.

    The libraries read these names when they are imported, so a running test cannot set them for itself.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS_"))}
    return kept | {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(hf_home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
        **more,
    }


def refusing_endpoint() -> str:
    """The address of a local port with nobody listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def commit_of(revision: Path) -> str:
    """The sha of a revision folder: 40 hexadecimal digits from the names and contents of its files."""
    digest = hashlib.sha1()
    for path in _files(revision):
        digest.update(path.relative_to(revision).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


class HubStub:
    """Serves the folder tree `root` on a free local port while the `with` block runs.

    `endpoint` is the address for HF_ENDPOINT; `requests` lists what was asked, as "GET /api/models/org/name".
    """

    def __init__(self, root: Path):
        self.requests: list[str] = []
        handler = type("Handler", (_Handler,), {"root": root, "requests": self.requests})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> "HubStub":
        self._thread.start()
        return self

    def __exit__(self, *exc) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Refusal(Exception):
    """An answer that is an error: HTTP status, X-Error-Code, X-Error-Message."""

    def __init__(self, status: int, code: str, message: str):
        super().__init__(message)
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the clients keep their connections
    root: Path
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(f"{self.command} {self.path}")
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())
        url = urlsplit(self.path)
        try:
            self._route([unquote(part) for part in url.path.split("/")[1:]], parse_qs(url.query), form)
        except _Refusal as refusal:
            headers = {"X-Error-Code": refusal.code, "X-Error-Message": str(refusal)}
            self._send_json({"error": str(refusal)}, refusal.status, headers)

    do_HEAD = do_POST = do_GET

    def log_message(self, *args) -> None:
        """Nothing: stderr belongs to the tests."""

    def _route(self, parts: list[str], query: dict, form: dict) -> None:
        match parts:
            case ["api", kind, org, name]:
                self._send_info(self._revision(kind, org, name, "main"))
            case ["api", kind, org, name, "revision", revision]:
                self._send_info(self._revision(kind, org, name, revision))
            case ["api", kind, org, name, "tree", revision, *inside]:
                self._send_tree(self._revision(kind, org, name, revision), "/".join(inside), query)
            case ["api", kind, org, name, "paths-info", revision]:
                folder = self._revision(kind, org, name, revision)
                asked = [folder / path for path in form.get("paths", [])]
                self._send_json([_entry(path, folder) for path in asked if path.exists()])
            case ["datasets", org, name, "resolve", revision, *path]:
                self._send_file(self._revision("datasets", org, name, revision), "/".join(path))
            case [org, name, "resolve", revision, *path]:
                self._send_file(self._revision("models", org, name, revision), "/".join(path))
            case _:
                raise self._not_found()

    def _not_found(self) -> _Refusal:
        if "Authorization" in self.headers:
            return _Refusal(404, "RepoNotFound", "Repository not found")
        return _Refusal(401, "RepoNotFound", "Invalid username or password.")

    def _revision(self, kind: str, org: str, name: str, revision: str) -> Path:
        """The folder of a revision given by its name or sha."""
        repo = self.root / kind / org / name
        if not repo.is_dir():
            raise self._not_found()
        for folder in repo.iterdir():
            if folder.is_dir() and revision in (folder.name, commit_of(folder)):
                return folder
        raise _Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")

    def _send_info(self, folder: Path) -> None:
        repo = folder.parent
        files = [{"rfilename": path.relative_to(folder).as_posix()} for path in _files(folder)]
        info = {
            "id": f"{repo.parent.name}/{repo.name}",
            "sha": commit_of(folder),
            "siblings": files,
            "tags": [],
        }
        state = {"private": False, "disabled": False, "gated": "auto" if (repo / ".gated").exists() else False}
        self._send_json(info | state | {"downloads": 0, "likes": 0})

    def _send_tree(self, folder: Path, inside: str, query: dict) -> None:
        top = folder / inside
        if not top.is_dir():
            raise _Refusal(404, "EntryNotFound", f"{inside} does not exist on this revision")
        found = top.rglob("*") if query.get("recursive", ["false"])[0].lower() == "true" else top.iterdir()
        self._send_json([_entry(path, folder) for path in sorted(found)])

    def _send_file(self, folder: Path, inside: str) -> None:
        if (folder.parent / ".gated").exists():
            status = 403 if "Authorization" in self.headers else 401
            raise _Refusal(status, "GatedRepo", f"Access to {self.path} is restricted. Please log in.")
        if folder / inside not in _files(folder):
            raise _Refusal(404, "EntryNotFound", "Entry not found")
        data = (folder / inside).read_bytes()
        etag = f'"{hashlib.sha1(data).hexdigest()}"'
        headers = {"ETag": etag, "X-Linked-ETag": etag, "X-Linked-Size": str(len(data))}
        self._send(200, data, headers | {"X-Repo-Commit": commit_of(folder)})

    def _send_json(self, content, status: int = 200, headers: dict | None = None) -> None:
        self._send(status, json.dumps(content).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict) -> None:
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _entry(path: Path, folder: Path) -> dict:
    """One row of a listing."""
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "size": 0, "oid": hashlib.sha1(name.encode()).hexdigest()}
    data = path.read_bytes()
    return {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
