"""Models on the hub: a small hub on this machine answers, or nobody does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from safetensors.torch import save
from torch import zeros

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "org/good": {
        "config.json": b'{"model_type": "bert"}',
        "model.safetensors": save({"weight": zeros(4)}),
        "pytorch_model.bin": b"pickle",
        "modeling.py": b"print('runs')",
        "vocab.txt": b"[PAD]",
        "onnx/model.onnx": b"onnx",
    },
    "org/painter": {
        "model_index.json": b'{"_class_name": "FluxPipeline", "vae": ["diffusers", "X"]}',
        "whole.safetensors": save({"weight": zeros(4)}),
        "vae/config.json": b"{}",
        "vae/model.safetensors": save({"weight": zeros(4)}),
        "vae/model.fp16.safetensors": save({"weight": zeros(4)}),
    },
    "org/old": {"config.json": b"{}", "pytorch_model.bin": b"pickle"},
}

ASK = """
import json, sys
from pathlib import Path
from actors.errors import GristmillError
from actors.models.reference import config_of, fetch, resolve
name, revision, *steps = json.loads(sys.argv[1])
instead = "embedded:pp-ocrv6-small-det"
told = {}
try:
    ref = resolve(name, revision, Path(), instead, weights="tokenizer" not in steps)
    told |= {"revision": ref.revision, "licence": ref.licence}
    if "config" in steps:
        told["config"] = config_of(ref, Path(), instead)
    if "fetch" in steps:
        told["files"] = sorted(path.name for path in fetch(ref, Path()).rglob("*"))
except GristmillError as error:
    told |= {"kind": type(error).__name__, "error": str(error)}
print(json.dumps(told))
"""


class Hub(BaseHTTPRequestHandler):
    """The three answers of a model hub that pinning and fetching need."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0].removeprefix("/").removeprefix("api/models/")
        name = "/".join(path.split("/")[:2])
        rest = path.removeprefix(name).strip("/")
        files = FILES.get(name)
        if files is None:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif rest.startswith("revision/") and rest.split("/")[1] not in ("main", COMMIT):
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif rest.startswith("tree/"):
            tree = [{"type": "file", "path": p, "size": len(b), "oid": p} for p, b in files.items()]
            self.answer(200, json.dumps(tree).encode())
        elif rest.startswith("resolve/"):
            file = rest.removeprefix(f"resolve/{COMMIT}/")
            self.answer(200, files[file], {"X-Repo-Commit": COMMIT, "ETag": f'"{file}"'})
        else:
            siblings = [{"rfilename": file} for file in files]
            about = {"id": name, "sha": COMMIT, "siblings": siblings}
            self.answer(200, json.dumps(about | {"cardData": {"license": "mit"}}).encode())

    def answer(self, code: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


CLOSED = "http://127.0.0.1:9"  # the discard port: nobody listens, the connection is refused


def ask(
    home: Path, endpoint: str, name: str, revision: str | None = None, *steps: str
) -> dict[str, Any]:
    """What a process tells that resolves a model with this hub and this cache."""
    told = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
    question = json.dumps([name, revision, *steps])
    command = [sys.executable, "-c", ASK, question]
    done = subprocess.run(
        command, env=os.environ | told, capture_output=True, text=True, timeout=60, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_model_is_pinned_by_commit_and_fetched_without_pickles_and_code(
    hub: str, tmp_path: Path
) -> None:
    expected = {"revision": COMMIT, "licence": "mit", "config": {"model_type": "bert"}}
    files = ["config.json", "model.safetensors", "vocab.txt"]
    assert ask(tmp_path, hub, "org/good", None, "config", "fetch") == expected | {"files": files}
    offline = ask(tmp_path, CLOSED, "org/good", None, "config", "fetch")
    assert offline == expected | {"licence": None, "files": files}


def test_of_a_pipeline_each_part_is_fetched_once(hub: str, tmp_path: Path) -> None:
    for where in (hub, CLOSED):
        told = ask(tmp_path, where, "org/painter", None, "config", "fetch")
        assert told["config"]["_class_name"] == "FluxPipeline"
        assert told["files"] == ["config.json", "model.safetensors", "model_index.json", "vae"]


def test_where_a_tokenizer_is_enough_no_weights_are_fetched_or_asked_for(
    hub: str, tmp_path: Path
) -> None:
    for name, files in (("org/good", ["config.json", "vocab.txt"]), ("org/old", ["config.json"])):
        assert ask(tmp_path, hub, name, None, "fetch", "tokenizer")["files"] == files
    offline = ask(tmp_path, CLOSED, "org/good", None, "fetch", "tokenizer")
    assert offline["files"] == ["config.json", "vocab.txt"]
    assert ask(tmp_path, CLOSED, "org/good", None)["kind"] == "UsageError"


def test_a_config_alone_does_not_make_a_model_available_offline(hub: str, tmp_path: Path) -> None:
    ask(tmp_path, hub, "org/good", None, "config")
    assert ask(tmp_path, CLOSED, "org/good", None)["kind"] == "UsageError"


@pytest.mark.parametrize(
    ("name", "revision", "error"),
    [
        ("org/none", None, "there is no model 'org/none' at "),
        ("org/good", "v9", "model 'org/good' has no revision 'v9' at "),
        ("org/old", None, "model 'org/old' has its weights only in pickles; only safetensors "),
    ],
)
def test_what_the_hub_does_not_have_is_said(
    hub: str, tmp_path: Path, name: str, revision: str | None, error: str
) -> None:
    told = ask(tmp_path, hub, name, revision)
    assert (told["kind"], told["error"][: len(error)]) == ("UsageError", error)


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_an_unreachable_hub_is_named_with_what_to_type_instead(
    tmp_path: Path, revision: str | None
) -> None:
    told = ask(tmp_path, CLOSED, "org/good", revision, "config")
    assert told["kind"] == "UsageError"
    assert told["error"] == (
        f"model 'org/good': the hub cannot be reached ({CLOSED}: [Errno 111] Connection refused), "
        f"and this machine's cache ({tmp_path}/hub) does not hold it.\n"
        "  to use models that come in Python packages:  models: embedded\n"
        "  or, for this stage alone:  model: embedded:pp-ocrv6-small-det\n"
        "  to use a folder on disk:  model: ./FOLDER"
    )
