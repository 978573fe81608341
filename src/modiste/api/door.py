"""What every route shares: the house behind it, who asks, the body, one action in one transaction.

Routes are async and never touch the database on the event loop: `act` runs an action in a thread,
inside one transaction that commits when the action returns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

import orjson
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Depends, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from modiste.actions import keys
from modiste.actions.inference import Renderers, Serving
from modiste.errors import TooLarge, Unauthorized
from modiste.serve.stream import EngineStream
from modiste.serve.upstream import Engines, Upstreams
from modiste.settings import Settings
from modiste.store.database import Database, Tx
from modiste.types import Actor
from modiste.work.intake import Intake

MAX_JSON_BYTES = 32 * 1024 * 1024
"""Far above any conversation that fits a context; files have their own limit."""

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


class Body(BaseModel):
    """What callers send: wrong types and unknown names are refused, nothing is guessed."""

    model_config = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class House:
    """What the process behind the doors keeps open."""

    settings: Settings
    database: Database
    engine: EngineStream
    renderers: Renderers
    uploads: CapacityLimiter
    """Threads that write uploads; apart from the others, since a slow sender holds one."""
    intake: Intake
    upstreams: Upstreams

    @property
    def serving(self) -> Serving:
        engine = Engines(self.engine, self.upstreams)
        return Serving(self.database, engine, self.renderers, self.upstreams)


def house(request: Request) -> House:
    found: House = request.app.state.house
    return found


_bearer = HTTPBearer(auto_error=False, description="An API key: `modiste keys create`")


async def authenticated(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Actor:
    """Who asks. Raises Unauthorized where no key, or no living one, was sent."""
    if credentials is None:
        raise Unauthorized(
            "No API key: send `Authorization: Bearer <key>`. The first key is in "
            "`<home>/admin.key`; `modiste keys create` makes more."
        )
    secret = credentials.credentials
    return await run_sync(_authenticate, house(request).database, secret)


Asker = Annotated[Actor, Depends(authenticated)]
"""The parameter of a route that needs a key."""


def _authenticate(database: Database, secret: str) -> Actor:
    with database.transaction(write=False) as tx:
        return keys.authenticate(tx, secret)


async def act(
    request: Request,
    verb: Callable[Concatenate[Tx, Actor, P], T],
    actor: Actor,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """One action that may write."""
    return await run_sync(_in_transaction, house(request), True, verb, actor, args, kwargs)


async def look(
    request: Request,
    verb: Callable[Concatenate[Tx, Actor, P], T],
    actor: Actor,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """One action that only reads: nobody waits for it and it waits for nobody."""
    return await run_sync(_in_transaction, house(request), False, verb, actor, args, kwargs)


def _in_transaction(
    behind: House,
    write: bool,
    verb: Callable[..., T],
    actor: Actor,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> T:
    with behind.database.transaction(write=write) as tx:
        return verb(tx, actor, *args, **kwargs)


async def json_body(request: Request) -> Any:
    """The parsed body, whatever its Content-Type says.

    Raises:
        RequestValidationError: not JSON (NaN and broken UTF-8 included).
        TooLarge: over `MAX_JSON_BYTES`, told as soon as it is seen.
    """
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_JSON_BYTES:
            raise TooLarge(f"A JSON body has at most {MAX_JSON_BYTES:,} bytes.", param="body")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        message = f"The body is not JSON: {error}" if content else "The body is empty, not JSON"
        raise RequestValidationError(
            [{"type": "json_invalid", "loc": ("body",), "msg": message, "input": None}]
        ) from None


def checked(kind: type[M], value: Any) -> M:
    """The body as its model, or every field that is wrong at once."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise RequestValidationError(
            [{**problem, "loc": ("body", *problem["loc"])} for problem in error.errors()]
        ) from None


def documents(kind: type[BaseModel], *others: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself."""
    refs = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in (kind, *others)]
    schema = refs[0] if not others else {"anyOf": refs}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
