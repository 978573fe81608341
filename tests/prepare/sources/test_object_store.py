"""Files out of an object store; `file:///` is one, and S3 is played by a server of this test."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from modiste.errors import InvalidInput, Unavailable
from modiste.prepare.sources.object_store import fetch

OBJECTS = {
    "sets/train-0.jsonl": b'{"text": "a"}\n',
    "sets/train-1.jsonl": b'{"text": "b"}\n',
    "sets/README.md": b"read me",
    "other/train.jsonl": b'{"text": "c"}\n',
}


class S3(BaseHTTPRequestHandler):
    """Lists and gives away `OBJECTS` as S3 does; it stands in for a service no test may reach."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        key = url.path.removeprefix("/bucket").strip("/")
        query = parse_qs(url.query)
        if "list-type" in query:
            prefix = query.get("prefix", [""])[0]
            listed = "".join(
                f"<Contents><Key>{name}</Key><LastModified>2026-11-20T10:00:00.000Z</LastModified>"
                f"<ETag>&quot;{hashlib.md5(body).hexdigest()}&quot;</ETag><Size>{len(body)}</Size>"
                "<StorageClass>STANDARD</StorageClass></Contents>"
                for name, body in OBJECTS.items()
                if name.startswith(prefix)
            )
            xml = f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
            self.answer(200, xml.encode())
        elif key in OBJECTS:
            self.answer(200, OBJECTS[key])
        else:
            self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
        self.send_header("Last-Modified", "Fri, 20 Nov 2026 10:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), S3)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    yield
    server.shutdown()
    server.server_close()


def read(found: list[tuple[Path, str]]) -> dict[str, bytes]:
    return {url: path.read_bytes() for path, url in found}


def test_a_folder_in_s3_is_its_files_of_rows(s3: None, tmp_path: Path) -> None:
    assert read(fetch("s3://bucket/sets/", into=tmp_path)) == {
        "s3://bucket/sets/train-0.jsonl": OBJECTS["sets/train-0.jsonl"],
        "s3://bucket/sets/train-1.jsonl": OBJECTS["sets/train-1.jsonl"],
    }


def test_a_pattern_in_s3_reaches_across_folders(s3: None, tmp_path: Path) -> None:
    found = fetch("s3://bucket/**/train*.jsonl", into=tmp_path)
    assert len(found) == 3


def test_one_file_in_s3_is_fetched_by_its_name(s3: None, tmp_path: Path) -> None:
    found = fetch("s3://bucket/sets/README.md", into=tmp_path)
    assert read(found) == {"s3://bucket/sets/README.md": b"read me"}


def test_nothing_at_a_url_is_said(s3: None, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no file of rows at s3://bucket/gone"):
        fetch("s3://bucket/gone", into=tmp_path)


def test_a_store_that_does_not_answer_says_what_to_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(Unavailable, match="AWS_REGION"):
        fetch("s3://bucket/a.jsonl", into=tmp_path)


def test_a_file_is_fetched_again_only_when_it_changed(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text("1\n")
    (first, _), *_ = fetch(f"file://{source}", into=tmp_path / "cache")
    (again, _), *_ = fetch(f"file://{source}", into=tmp_path / "cache")
    source.write_text("1\n2\n")
    (changed, _), *_ = fetch(f"file://{source}", into=tmp_path / "cache")
    assert first == again != changed
    assert changed.read_text() == "1\n2\n"
