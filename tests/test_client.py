"""The client: which server it finds, how it says what a server refused."""

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modiste import client, errors
from modiste.client import Client, connect, refusal
from modiste.settings import Settings


class Stub(http.server.BaseHTTPRequestHandler):
    """Answers with what the test laid out for a path: (status, content type, body)."""

    answers: dict[str, tuple[int, str, bytes]]
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers.get("authorization")))
        status, kind, body = self.answers.get(self.path, (404, "application/json", b"{}"))
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.do_GET()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Any]:
    handler = type("Handler", (Stub,), {"answers": {}, "seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler
    server.shutdown()
    server.server_close()


def settings(tmp_path: Path, **values: Any) -> Settings:
    return Settings(home=tmp_path / "home", **values)


def lay_server_file(wanted: Settings, url: str) -> None:
    wanted.process_dir.mkdir(parents=True)
    content = {"pid": os.getpid(), "url": url}
    (wanted.process_dir / "server.json").write_text(json.dumps(content))


def test_a_named_server_is_used_before_any_other(stub: Any, tmp_path: Path) -> None:
    wanted = settings(tmp_path, url=stub.url, api_key="k")
    lay_server_file(wanted, "http://127.0.0.1:9")
    stub.answers["/v1/models"] = (200, "application/json", b'{"data": []}')
    with connect(wanted) as found:
        assert found.get("/v1/models") == {"data": []}
        assert found.standing
    assert stub.seen == [("/v1/models", "Bearer k")]


def test_the_server_of_this_home_is_found_with_its_admin_key(stub: Any, tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    lay_server_file(wanted, stub.url)
    wanted.admin_key_file.write_text("mod_admin\n")
    with connect(wanted) as found, pytest.raises(errors.NotFound):
        found.get("/v1/x")
    assert stub.seen == [("/v1/x", "Bearer mod_admin")]


def test_the_admin_key_of_a_home_is_never_sent_to_another_server(stub: Any, tmp_path: Path) -> None:
    wanted = settings(tmp_path, url=stub.url)
    wanted.home.mkdir()
    wanted.admin_key_file.write_text("mod_admin\n")
    with connect(wanted) as found, pytest.raises(errors.NotFound):
        found.get("/v1/x")
    assert stub.seen == [("/v1/x", None)]


def test_without_any_server_the_front_answers_in_this_process(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    with connect(wanted) as found:
        assert not found.standing
        assert [m["id"] for m in found.get("/v1/models")["data"]] == ["modiste-tiny"]
    assert wanted.admin_key_file.stat().st_mode & 0o777 == 0o600


def test_a_large_file_streams_through_the_front_in_this_process(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    row = json.dumps({"text": "x" * 1000}) + "\n"
    source = tmp_path / "large.jsonl"
    source.write_text(row * 20_000)
    with connect(wanted) as found:
        file = found.upload(source)
        assert file["bytes"] == source.stat().st_size
        assert b"".join(found.download(file["id"])) == source.read_bytes()


def test_a_home_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    wanted.home.mkdir()
    (wanted.home / "modiste.db").write_text("this is no database, and long enough to show it" * 99)
    with pytest.raises(errors.ModisteError) as refused, connect(wanted):
        pytest.fail("opened")
    assert "modiste.db" in refused.value.message or str(wanted.home) in refused.value.message


def test_a_server_that_is_gone_says_what_to_start(tmp_path: Path) -> None:
    with (
        connect(settings(tmp_path, url="http://127.0.0.1:9", api_key="k")) as found,
        pytest.raises(errors.Unavailable, match="modiste up"),
    ):
        found.get("/v1/models")


def test_patience_outlasts_a_front_that_restarts() -> None:
    calls = []

    def front(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        if len(calls) < 3:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"ok": True})

    http = httpx.Client(transport=httpx.MockTransport(front), base_url="http://x")
    assert Client(http, standing=True).get("/v1/x", patience_s=5.0) == {"ok": True}
    assert len(calls) == 3


def stream_of(text: str) -> Client:
    def answer(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content)["stream"] is True
        return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})

    transport = httpx.MockTransport(answer)
    return Client(httpx.Client(transport=transport, base_url="http://x"), standing=True)


def test_a_stream_gives_its_chunks_and_skips_pings() -> None:
    chunks = stream_of(': ping\n\ndata: {"n": 1}\n\ndata: {"n": 2}\n\ndata: [DONE]\n\n')
    assert [c["n"] for c in chunks.chat_stream({"model": "m"})] == [1, 2]


def test_a_stream_that_breaks_off_is_an_error_not_a_short_answer() -> None:
    with pytest.raises(errors.Unavailable, match="before the answer was complete"):
        list(stream_of('data: {"n": 1}\n\n').chat_stream({"model": "m"}))


def test_an_error_inside_a_stream_is_raised() -> None:
    body = 'data: {"object": "error", "message": "the engine restarts"}\n\n'
    with pytest.raises(errors.Unavailable, match="the engine restarts"):
        list(stream_of(body).chat_stream({"model": "m"}))


def answer(status: int, body: Any, **headers: str) -> httpx.Response:
    return httpx.Response(
        status, json=body, headers=headers, request=httpx.Request("GET", "http://x/v1/y")
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, errors.BadRequest), (403, errors.Forbidden), (404, errors.NotFound),
     (409, errors.Conflict), (413, errors.TooLarge), (422, errors.InvalidInput),
     (429, errors.Busy), (503, errors.Unavailable), (507, errors.StorageFull)],
)  # fmt: skip
def test_a_status_becomes_the_error_of_that_name(status: int, kind: type[Exception]) -> None:
    assert type(refusal(answer(status, {"message": "no"}))) is kind


def test_every_dialect_of_a_refusal_gives_its_message() -> None:
    bodies = [
        {"object": "error", "message": "said", "code": "c"},
        {"detail": "said", "code": "c"},
        {"error": {"message": "said", "code": "c"}},
    ]
    for body in bodies:
        error = refusal(answer(404, body))
        assert (error.message, error.error_code) == ("said", "c")


def test_problems_of_a_file_come_back_as_problems() -> None:
    detail = [
        {"type": "role_unknown", "loc": ["file", "t.jsonl", 4, "messages[1].role"],
         "msg": "t.jsonl line 4: messages[1].role is 'bot'", "input": "bot"},
        {"type": "x", "loc": ["body", "model"], "msg": "required"},
    ]  # fmt: skip
    problems = refusal(answer(422, {"detail": detail, "message": "bad"})).problems
    assert [str(p) for p in problems] == ["t.jsonl line 4: messages[1].role is 'bot'"]


def test_a_refusal_that_is_no_json_still_has_a_status() -> None:
    response = httpx.Response(502, text="<html>", request=httpx.Request("GET", "http://x/v1/y"))
    assert "502" in refusal(response).message


def test_a_busy_server_says_when_to_come_back() -> None:
    assert refusal(answer(429, {"message": "full"}, **{"retry-after": "7"})).retry_after_s == 7


def test_a_server_that_speaks_no_json_is_named(stub: Any, tmp_path: Path) -> None:
    stub.answers["/v1/models"] = (200, "text/html", b"<html>")
    with (
        connect(settings(tmp_path, url=stub.url)) as found,
        pytest.raises(errors.Unavailable, match="is it Modiste"),
    ):
        found.get("/v1/models")


def test_a_url_may_end_in_v1_as_other_clients_want_it(stub: Any, tmp_path: Path) -> None:
    stub.answers["/v1/models"] = (200, "application/json", b"{}")
    with connect(settings(tmp_path, url=f"{stub.url}/v1/")) as found:
        assert found.get("/v1/models") == {}
    assert client.TIMEOUT.connect == 5.0
