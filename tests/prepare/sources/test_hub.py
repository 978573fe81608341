"""Data sets on the hub: which files are fetched, and what is said when they cannot be.

The hub is played by a server of this test, spoken to by the real client.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from modiste.errors import InvalidInput, Unavailable
from modiste.prepare.sources import hub

huggingface_hub = pytest.importorskip(
    "huggingface_hub", reason="pip install 'modiste[data]' or 'modiste[local]'"
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {
    "README.md": b"card",
    "data/train-00000-of-00001.parquet": b"PAR1",
    "train.jsonl": b'{"text": "a"}\n',
    "load.py": b"raise SystemExit",
}


class Hub(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/api/datasets/org/set/tree/"):
            listed = [
                {"type": "file", "path": name, "size": len(body), "oid": sha1(body)}
                for name, body in FILES.items()
            ]
            self.answer(200, json.dumps(listed).encode(), {"Content-Type": "application/json"})
        elif path.startswith("/datasets/org/set/resolve/"):
            body = FILES[path.split("/", 6)[-1]]
            headers = {"ETag": f'"{sha1(body)}"', "X-Repo-Commit": COMMIT}
            self.answer(200, body, headers)
        else:
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def sha1(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{found.server_port}"
    real = huggingface_hub.HfApi
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: real(endpoint=address, token=False))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    yield
    found.shutdown()
    found.server_close()


def test_a_data_set_is_its_files_of_rows(server: None) -> None:
    found = hub.fetch("hf://datasets/org/set")
    assert [address for _, address in found] == [
        "hf://datasets/org/set/data/train-00000-of-00001.parquet",
        "hf://datasets/org/set/train.jsonl",
    ]
    assert [path.read_bytes() for path, _ in found] == [b"PAR1", b'{"text": "a"}\n']


def test_a_file_of_a_revision_is_fetched_alone(server: None) -> None:
    found = hub.fetch("hf://org/set@main/train.jsonl")
    assert [address for _, address in found] == ["hf://datasets/org/set@main/train.jsonl"]


def test_a_path_without_rows_is_said(server: None) -> None:
    with pytest.raises(InvalidInput, match="no file of rows at hf://datasets/org/set/gone"):
        hub.fetch("hf://datasets/org/set/gone")


def test_an_unknown_data_set_says_what_to_check(server: None) -> None:
    with pytest.raises(InvalidInput, match="Check the name"):
        hub.fetch("hf://datasets/org/other")


@pytest.mark.parametrize("address", ["hf://set", "hf://datasets/../set", "hf://"])
def test_only_names_of_data_sets_are_asked_for(address: str) -> None:
    with pytest.raises(InvalidInput, match="is not of the form"):
        hub.fetch(address)


def test_without_a_network_the_hub_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **options: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", offline)
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE"):
        hub.fetch("hf://datasets/org/set")
