"""The edge of the app: every request gets an id, every failure an answer in its caller's words.

Here is the one broad `except`: what nobody foresaw is recorded with its request id and answered
with a 500 that names the id. After the headers went out the only honest end is a broken
connection, so such a failure is recorded and raised on.
"""

from __future__ import annotations

import logging
import re
from uuid import uuid4

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from modiste.api import dialect, refusals
from modiste.api.refusals import Fault, Refusal
from modiste.api.sse import ClientGone
from modiste.errors import ModisteError

log = logging.getLogger(__name__)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
CLIENT_CLOSED_REQUEST = 499


class Edge:
    """Outermost of what is ours around the app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        request.state.id = _request_id(request)
        started = False

        async def named(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                header = (b"x-request-id", request.state.id.encode())
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        try:
            await self._app(scope, receive, named)
        except Exception:
            log.exception("request %s: %s %s", request.state.id, request.method, scope["path"])
            if started:
                raise
            await _unforeseen(request)(scope, receive, named)


def install(app: FastAPI) -> None:
    """Let the app speak through this file when something goes wrong."""
    app.add_middleware(Edge)

    @app.exception_handler(ModisteError)
    async def refused(request: Request, error: ModisteError) -> Response:
        if error.http_status >= 500:
            kind = type(error).__name__
            log.warning("request %s: %s: %s", request.state.id, kind, error.message)
        return _answer(request, refusals.fault_of(error))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        return _answer(request, refusals.fault_of_fields(error.errors()))

    @app.exception_handler(HTTPException)
    async def no_route(request: Request, error: HTTPException) -> Response:
        said = f"{request.method} {request.scope['path']}: {error.detail}; see /openapi.json"
        refusal = refusals.no_route(error.status_code, dialect=dialect.of(request), message=said)
        return _sent(refusal._replace(headers=dict(error.headers or {})))

    @app.exception_handler(ClientGone)
    @app.exception_handler(ClientDisconnect)
    async def nobody_left(request: Request, error: Exception) -> Response:
        """Nobody reads this; it closes the books on the request."""
        return Response(status_code=CLIENT_CLOSED_REQUEST)


def _unforeseen(request: Request) -> Response:
    message = (
        f"Something went wrong here that nobody foresaw. The server's log has the details under "
        f"request {request.state.id}; please report them."
    )
    return _answer(request, Fault(500, message, "internal_error"))


def _answer(request: Request, fault: Fault) -> Response:
    path: str = request.scope["path"]
    refusal = refusals.refuse(
        fault, dialect=dialect.of(request), path=path, request_id=request.state.id
    )
    if dialect.is_mistral_0(request) and _would_be_repeated_wrongly(request):
        refusal = refusals.softened_for_mistral_0(refusal)
    return _sent(refusal)


def _would_be_repeated_wrongly(request: Request) -> bool:
    path: str = request.scope["path"]
    return request.method == "POST" and path.endswith(("/files", "/fine_tuning/jobs"))


def _sent(refusal: Refusal) -> Response:
    return JSONResponse(refusal.body, status_code=refusal.status, headers=dict(refusal.headers))


def _request_id(request: Request) -> str:
    """The caller's own where it is harmless, so that both logs name the same thing."""
    given = request.headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid4().hex
