"""Uploads that do not go as they should."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from scripted import Front, ScriptedEngine, jsonl, run_front, settings_for

MEBIBYTE = 1 << 20


def scratch(front: Front) -> list[Path]:
    return list((front.settings.cache_dir / "uploads").glob("*"))


def raw_head(front: Front, length: int) -> bytes:
    return (
        f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {front.key}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="t.jsonl"\r\n\r\n'
    ).encode()


def connect(front: Front) -> socket.socket:
    host, _, port = front.url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def test_a_client_that_hangs_up_half_way_leaves_nothing(front: Front) -> None:
    with connect(front) as wire:
        wire.sendall(raw_head(front, 100_000) + b'{"text": "x"}\n' * 1000)
        deadline = time.monotonic() + 60
        while not scratch(front):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    deadline = time.monotonic() + 60
    while scratch(front):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with front.client() as client:
        assert client.get("/v1/files").json()["total"] == 0


def test_bytes_are_on_disk_while_more_are_on_their_way(front: Front) -> None:
    with connect(front) as wire:
        wire.sendall(raw_head(front, 150_000) + b"x" * 100_000)
        deadline = time.monotonic() + 60
        while not any(path.stat().st_size > 50_000 for path in scratch(front)):
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_a_refused_client_can_send_to_its_end_and_hears_why(front: Front) -> None:
    with front.client("mod_wrong") as stranger, front.client() as admin:
        part = {"file": ("t.jsonl", b"x" * 3_000_000)}
        assert stranger.post("/v1/files", files=part).status_code == 401
        assert admin.post("/v1/files", files=part).status_code == 413
        made = admin.post("/v1/keys", json={"name": "x", "scopes": ["infer"]}).json()
        with front.client(made["secret"]) as other:
            assert other.post("/v1/files", files=part).status_code == 403


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    settings = settings_for(
        tmp_path_factory.mktemp("large"), max_upload_bytes=300 * MEBIBYTE, workers=0
    )
    yield from run_front(settings, ScriptedEngine())


@pytest.mark.slow
def test_a_large_file_is_never_in_memory(large: Front) -> None:
    """The front runs in this process: its peak memory may not grow by the file's size.

    ru_maxrss counts KiB. 200 MiB go through; a copy in memory would add as much, the 60 MiB
    leave room for chunks, threads and what the allocator keeps.
    """
    line = jsonl({"text": "x" * 1000})

    def body() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="t.jsonl"\r\n\r\n'
        block = line * 1000
        for _ in range(200 * MEBIBYTE // len(block)):
            yield block
        yield b"\r\n--b--\r\n"

    with large.client() as client:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        kind = {"content-type": "multipart/form-data; boundary=b"}
        answer = client.post("/v1/files", content=body(), headers=kind, timeout=120)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert answer.status_code == 200, answer.text
    assert answer.json()["bytes"] > 190 * MEBIBYTE
    assert after - before < 60 * 1024


def test_the_bytes_of_an_upload_are_written_once(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modiste.store import blobs

    written: list[int] = []
    really = blobs._write_hashed

    def counting(path: Path, *rest: object) -> object:
        upload = really(path, *rest)  # type: ignore[arg-type]
        written.append(upload.size_bytes)
        return upload

    monkeypatch.setattr(blobs, "_write_hashed", counting)
    content = jsonl({"text": "once " * 1000})
    with front.client() as client:
        part = {"file": ("once.jsonl", content)}
        client.post("/v1/files", files=part).raise_for_status()
    assert written.count(len(content)) == 1, "beside it only its report and its rows are written"
    assert len(written) == 3


def test_several_uploads_at_once_do_not_mix(front: Front) -> None:
    answers: dict[int, httpx.Response] = {}

    def send(number: int) -> None:
        rows = jsonl(*({"text": f"file {number} row {row}"} for row in range(500)))
        with front.client() as client:
            part = {"file": (f"{number}.jsonl", rows)}
            file_id = client.post("/v1/files", files=part).json()["id"]
            answers[number] = client.get(f"/v1/files/{file_id}/content")

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, answer in answers.items():
        assert answer.text.count(f"file {number} row") == 500
    assert len(answers) == 8
