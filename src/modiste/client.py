"""The way to a Modiste server: HTTP to one that runs, or the same app inside this process.

`connect` looks in this order: the server named by `MODISTE_URL`; the one that serves this home; if
the caller needs an engine or a worker, one that is started for the length of the block and said so;
else the front alone, in this process, on a private socket. The caller sees one `Client` whichever
it is, and every refusal as an error of `modiste.errors`, never as a status code.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from modiste import errors
from modiste.errors import ModisteError, Unavailable
from modiste.settings import Settings
from modiste.types import Problem

Json = dict[str, Any]
Report = Callable[[str], None]

TIMEOUT = httpx.Timeout(600.0, connect=5.0)
IN_PROCESS_URL = "http://modiste"
BY_STATUS: Mapping[int, type[ModisteError]] = {
    kind.http_status: kind
    for kind in (
        errors.BadRequest, errors.Unauthorized, errors.Forbidden, errors.NotFound,
        errors.Conflict, errors.TooLarge, errors.InvalidInput, errors.Busy,
        errors.Unavailable, errors.StorageFull, errors.UpstreamFailed, errors.UpstreamTimeout,
    )
}  # fmt: skip


class Steps(NamedTuple):
    rows: list[Json]
    """One per training step, in order: step, loss, learning_rate, tokens_per_s, …"""
    progress: Json
    """What the job said last: step, total_steps, eta_s, …; empty before its first step."""


class Client:
    """One server. Answers are the JSON of the public API, as it came."""

    def __init__(self, http: httpx.Client, *, standing: bool) -> None:
        self._http = http
        self.standing = standing
        """Whether the server goes on after this client is closed."""

    @property
    def url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    @property
    def key(self) -> str | None:
        """What it sends, for programs that are started to ask the same server."""
        sent = self._http.headers.get("authorization", "")
        return sent.removeprefix("Bearer ") or None

    def get(self, path: str, *, patience_s: float = 0.0, **params: Any) -> Json:
        """GET; for `patience_s` it outlasts a front that is restarting."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return self._call("GET", path, params=_given(params))
            except Unavailable as error:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(min(error.retry_after_s or 0.5, 5.0))

    def post(self, path: str, body: Mapping[str, Any] | None = None, **params: Any) -> Json:
        return self._call("POST", path, json=body, params=_given(params))

    def put(self, path: str, body: Mapping[str, Any]) -> Json:
        return self._call("PUT", path, json=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Json:
        return self._call("PATCH", path, json=body)

    def delete(self, path: str) -> Json:
        return self._call("DELETE", path)

    def upload(self, path: Path, *, purpose: str = "fine-tune") -> Json:
        """Stream a local file to the server."""
        try:
            with path.open("rb") as content:
                return self._call(
                    "POST",
                    "/v1/files",
                    data={"purpose": purpose},
                    files={"file": (path.name, content, "application/octet-stream")},
                )
        except OSError as error:
            raise errors.InvalidInput(f"{path}: cannot be read: {error.strerror}") from None

    def page(self, path: str, **params: Any) -> str:
        """GET something that is to be read, not parsed."""
        with self._stream("GET", path, params=_given(params)) as answer:
            return answer.read().decode("utf-8")

    def download(self, file_id: str) -> Iterator[bytes]:
        yield from self.content(f"/v1/files/{file_id}/content")

    def content(self, path: str) -> Iterator[bytes]:
        """GET bytes as they come."""
        with self._stream("GET", path) as answer:
            yield from answer.iter_bytes()

    def steps(self, job_id: str, *, after_step: int = 0) -> Steps:
        """What a job recorded after a step."""
        answer = self.get(
            f"/v1/fine_tuning/jobs/{job_id}/metrics", patience_s=60.0, after_step=after_step
        )
        return Steps(answer["data"], answer.get("progress") or {})

    def chat(self, body: Mapping[str, Any]) -> Json:
        return self.post("/v1/chat/completions", body)

    def chat_stream(self, body: Mapping[str, Any]) -> Generator[Json]:
        """Chunks as they come; closing the iterator stops the generation."""
        with self._stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as answer:
            for line in answer.iter_lines():
                data = line.removeprefix("data: ") if line.startswith("data: ") else ""
                if data == "[DONE]":
                    return
                if data:
                    yield _chunk(data)
        raise Unavailable("the server closed the stream before the answer was complete; ask again")

    def _call(self, method: str, path: str, **request: Any) -> Json:
        with _said_as_our_errors(self.url):
            answer = self._http.request(method, path, **request)
        if answer.is_error:
            raise refusal(answer)
        try:
            value = answer.json()
        except ValueError:
            raise Unavailable(f"{self.url}{path} did not answer JSON; is it Modiste?") from None
        return value if isinstance(value, dict) else {"data": value}

    @contextmanager
    def _stream(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        with (
            _said_as_our_errors(self.url),
            self._http.stream(method, path, **request) as answer,
        ):
            if answer.is_error:
                answer.read()
                raise refusal(answer)
            yield answer


@contextmanager
def connect(
    settings: Settings, *, needs_engine: bool = False, report: Report = lambda line: None
) -> Iterator[Client]:
    """A client for the length of the block, see the first lines of this file.

    Raises:
        Conflict, Unavailable: a server had to be started and could not.
    """
    from modiste.work import home

    server = home.read_server_file(settings)
    if settings.url is not None:
        local = server is not None and server.url == settings.url.rstrip("/")
        key = _key(settings, local=local)
        with _http(settings.url, key) as http:
            yield Client(http, standing=True)
    elif server is not None:
        with _http(server.url, _key(settings, local=True)) as http:
            yield Client(http, standing=True)
    elif needs_engine:
        with started(settings, report=report) as client:
            yield client
    else:
        with _in_process(settings) as client:
            yield client


@contextmanager
def started(settings: Settings, *, report: Report, port: int = 0) -> Iterator[Client]:
    """A server of our own for the length of the block, on loopback; port 0 takes a free one."""
    from modiste.work import supervisor

    report(f"No server is running for {settings.home}: starting one for this command …")
    own = settings.model_copy(
        update={"host": "127.0.0.1", "port": port, "workers": max(1, settings.workers)}
    )
    with (
        supervisor.running(own, report=report) as ready,
        _http(ready.url, _key(settings, local=True)) as http,
    ):
        yield Client(http, standing=False)


@contextmanager
def _in_process(settings: Settings) -> Iterator[Client]:
    """The front without network: uvicorn in a thread, on a socket only this user can open."""
    import uvicorn

    from modiste.api.app import build_app

    app = build_app(settings)
    refused: list[ModisteError] = []

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except ModisteError as error:  # from the start of the app: routes answer theirs
            refused.append(error)
            raise

    with tempfile.TemporaryDirectory(prefix="modiste-") as folder:
        socket = f"{folder}/front"
        config = uvicorn.Config(noting, uds=socket, log_level="critical")
        server = uvicorn.Server(config)

        def serve() -> None:
            with suppress(SystemExit):  # uvicorn's word for a start that failed
                server.run()

        thread = threading.Thread(target=serve, name="front", daemon=True)
        thread.start()
        try:
            while not server.started:
                if not thread.is_alive():
                    said = refused[0].message if refused else "run `modiste doctor`"
                    raise Unavailable(f"{settings.home} cannot be opened: {said}")
                time.sleep(0.01)
            transport = httpx.HTTPTransport(uds=socket)
            with _http(IN_PROCESS_URL, _key(settings, local=True), transport) as http:
                yield Client(http, standing=False)
        finally:
            server.should_exit = True
            thread.join(timeout=10.0)


def _http(url: str, key: str | None, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    headers = {"user-agent": "modiste-cli"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    try:
        base_url = httpx.URL(url.rstrip("/").removesuffix("/v1"))
    except httpx.InvalidURL as error:
        raise errors.InvalidInput(f"MODISTE_URL {url!r}: {error}") from None
    here = transport is not None or base_url.host in ("127.0.0.1", "localhost", "::1")
    return httpx.Client(
        base_url=base_url,
        headers=headers,
        timeout=TIMEOUT,
        transport=transport,
        trust_env=not here,  # a proxy from the environment cannot reach this machine's loopback
    )


def _key(settings: Settings, *, local: bool) -> str | None:
    """The key to send; the admin key of this home is sent to the server of this home alone."""
    if settings.api_key is not None:
        return settings.api_key.get_secret_value()
    if not local:
        return None
    try:
        return settings.admin_key_file.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def _given(params: Mapping[str, Any]) -> Json:
    return {name: value for name, value in params.items() if value is not None}


def _chunk(data: str) -> Json:
    chunk: Json = json.loads(data)
    error = chunk.get("error") or (chunk if chunk.get("object") == "error" else None)
    if error:
        raise Unavailable(f"the answer broke off: {error.get('message', error)}")
    return chunk


@contextmanager
def _said_as_our_errors(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.ConnectError:
        raise Unavailable(f"no server answers at {url}; start one with `modiste up`") from None
    except httpx.TimeoutException:
        raise Unavailable(f"{url} did not answer in time; see `modiste doctor`") from None
    except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise Unavailable(f"talking to {url} failed: {error or type(error).__name__}") from None


def refusal(answer: httpx.Response) -> ModisteError:
    """The error a server meant, in whichever of its dialects it said it."""
    body = _body(answer)
    detail = body.get("detail")
    entries = [e for e in detail if isinstance(e, dict)] if isinstance(detail, list) else []
    message = body.get("message") or (
        detail if isinstance(detail, str) else "; ".join(str(e.get("msg", e)) for e in entries)
    )
    if answer.status_code == errors.Unauthorized.http_status:
        message = _unauthorized(message)
    kind = BY_STATUS.get(answer.status_code, ModisteError)
    retry_after = answer.headers.get("retry-after", "")
    return kind(
        message or f"{answer.request.method} {answer.request.url.path}: {answer.status_code}",
        code=_text(body.get("code")),
        param=_text(body.get("param")),
        problems=[problem for entry in entries if (problem := _problem(entry)) is not None],
        retry_after_s=float(retry_after) if retry_after.isdigit() else None,
    )


def _body(answer: httpx.Response) -> Json:
    """The error object itself: OpenAI wraps it, a proxy in between may send anything."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    if not isinstance(body, dict):
        return {}
    wrapped = body.get("error")
    return {**body, **wrapped} if isinstance(wrapped, dict) else body


def _unauthorized(message: Any) -> str:
    said = message if message and message != "Unauthorized" else "the server does not know this key"
    return (
        f"{said}; give it in MODISTE_API_KEY (the first key of a home lies in <home>/admin.key, "
        "more are made with `modiste keys create`)"
    )


def _problem(entry: Mapping[str, Any]) -> Problem | None:
    """One entry of `detail` that speaks of a line in a file."""
    match entry.get("loc"):
        case ["file", str(file), *rest]:
            line = next((part for part in rest if isinstance(part, int)), None)
            path = next((part for part in rest if isinstance(part, str)), "")
        case _:
            return None
    where = file if line is None else f"{file} line {line}"
    message = str(entry.get("msg", "")).removeprefix(f"{where}: ")
    return Problem(file, line, path, str(entry.get("type", "")), message, _text(entry.get("input")))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
