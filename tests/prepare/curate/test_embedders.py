"""An embeddings endpoint is asked politely, and what it answers is checked."""

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from modiste.errors import InvalidInput, Unavailable
from modiste.prepare.curate.embedders import Embeddings, EndpointEmbedder, embedder, endpoint


class Endpoint(ThreadingHTTPServer):
    """Answers lengths of texts as vectors; `queue` holds answers to give before that."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.queue: list[tuple[int, dict[str, str], Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.requests.append({**body, "path": self.path})
        self.server.authorizations.append(self.headers.get("authorization"))
        status, headers, answer = 200, {}, vectors(body["input"])
        if self.server.queue:
            status, headers, given = self.server.queue.pop(0)
            answer = given if given is not None else answer
        data = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


def vectors(texts: list[str]) -> dict[str, Any]:
    data = [{"index": i, "embedding": [len(text), 1.0]} for i, text in enumerate(texts)]
    return {"data": data[::-1]}


@pytest.fixture
def server() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        thread = threading.Thread(target=endpoint.serve_forever, args=(0.01,))
        thread.start()
        yield endpoint
        endpoint.shutdown()
        thread.join()


def client(server: Endpoint, pauses: list[float] | None = None, **more: Any) -> EndpointEmbedder:
    pauses = [] if pauses is None else pauses
    return EndpointEmbedder(Embeddings(url=server.url, model="m", **more), sleep=pauses.append)


def test_texts_come_back_as_vectors_in_their_order_in_batches(server: Endpoint) -> None:
    found = client(server, batch=2)(["a", "bb", "ccc", "", "eeeee"])
    assert found[:, 0].tolist() == [1, 2, 3, 1, 5]
    assert [len(r["input"]) for r in server.requests] == [2, 2, 1]
    assert {(r["path"], r["model"]) for r in server.requests} == {("/v1/embeddings", "m")}


def test_the_key_comes_from_the_environment(
    server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODISTE_EMBEDDINGS_KEY", raising=False)
    client(server)(["a"])
    monkeypatch.setenv("MODISTE_EMBEDDINGS_KEY", "sk-secret")
    client(server)(["a"])
    assert server.authorizations == [None, "Bearer sk-secret"]


def test_a_busy_endpoint_is_asked_again_after_the_time_it_names(server: Endpoint) -> None:
    pauses: list[float] = []
    server.queue = [(429, {"retry-after": "7"}, {}), (503, {}, {}), (200, {}, None)]
    assert client(server, pauses)(["abc"])[0, 0] == 3
    assert len(pauses) == 2
    assert pauses[0] >= 7


def test_an_endpoint_that_stays_busy_is_given_up(server: Endpoint) -> None:
    server.queue = [(500, {}, {"error": "boom"})] * 10
    with pytest.raises(Unavailable, match="6 tries; at last status 500"):
        client(server)(["a"])
    assert len(server.requests) == 6


def test_an_endpoint_that_is_not_there_is_named() -> None:
    settings = Embeddings(url="http://127.0.0.1:9", model="m")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9/embeddings gave no embeddings"):
        EndpointEmbedder(settings, sleep=lambda _: None)(["a"])


def test_a_refusal_is_told_at_once_and_without_the_key(
    server: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODISTE_EMBEDDINGS_KEY", "sk-secret")
    server.queue = [(401, {}, {"error": "no such key"})]
    with pytest.raises(InvalidInput, match="refuses to embed: status 401") as caught:
        client(server)(["a"])
    assert "sk-secret" not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"choices": []},
        [],
        {"data": [{"index": 0, "embedding": [1.0]}]},
        {"data": [{"index": i, "embedding": []} for i in range(2)]},
        {"data": [{"index": i, "embedding": ["x"]} for i in range(2)]},
        {"data": [{"index": i, "embedding": [float("nan")]} for i in range(2)]},
        {"data": [{"index": i, "embedding": [1.0] * (i + 1)} for i in range(2)]},
        {"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]},
    ],
)
def test_answers_that_are_not_one_vector_for_each_text_are_refused(
    server: Endpoint, answer: Any
) -> None:
    server.queue = [(200, {}, answer)]
    with pytest.raises(InvalidInput, match="is this an endpoint for embeddings"):
        client(server)(["a", "b"])


def test_vectors_in_base64_are_read(server: Endpoint) -> None:
    data = base64.b64encode(np.array([1.5, -2], dtype="<f4").tobytes()).decode()
    server.queue = [(200, {}, {"data": [{"index": 0, "embedding": data}]})]
    assert client(server)(["a"]).tolist() == [[1.5, -2.0]]


def test_addresses_are_completed_and_odd_ones_refused() -> None:
    for url in ("http://h:1/v1", "http://h:1/v1/", "http://h:1/v1/embeddings"):
        assert endpoint(url) == "http://h:1/v1/embeddings"
    for url in ("h/v1", "file:///etc/passwd", "http://", "http://u:p@h/v1", "http://h/v1?key=1"):
        with pytest.raises(ValueError, match=r"expected a URL|leave"):
            endpoint(url)


def test_settings_name_one_place() -> None:
    for wrong in ({}, {"url": "http://h/v1"}, {"url": "http://h/v1", "model": "m", "base": "b"}):
        with pytest.raises(ValidationError):
            Embeddings.model_validate(wrong)


def test_a_base_needs_someone_who_can_load_it() -> None:
    settings = Embeddings(base="tiny")
    with pytest.raises(InvalidInput, match="base tiny cannot be computed here"):
        embedder(settings)
    assert (
        embedder(settings, lambda name: lambda texts: np.ones((len(texts), len(name)))) is not None
    )
