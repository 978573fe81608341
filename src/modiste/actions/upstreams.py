"""Models elsewhere: registered by an admin, budgeted by the day, and what they took.

A hosted model is a name, an address and a way to its key, which is read from the server's
environment at each call or kept sealed; the key itself is in no column, answer or message. A budget
counts what upstreams said they used; a request that began within it is finished, so the last ones
of a day may exceed it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import SecretStr

from modiste.actions import models
from modiste.actions.keys import organisation, require
from modiste.errors import Busy, Conflict, InvalidInput
from modiste.serve import outbound
from modiste.serve.hosted_wire import Used
from modiste.serve.upstream import Upstreams, key_from_environment
from modiste.settings import ENVIRONMENT_PREFIX, Settings
from modiste.store import sealed
from modiste.store.database import Tx
from modiste.store.model_tables import SpendingRow
from modiste.store.tables import ModelRow
from modiste.types import Actor, Model, ModelKind, Scope, Spent, Upstream, UpstreamKind

ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
HOSTED = (UpstreamKind.OPENAI, UpstreamKind.MISTRAL)


@dataclass(frozen=True)
class Hosted:
    """A hosted model as an admin describes it."""

    name: str
    url: str
    kind: UpstreamKind = UpstreamKind.OPENAI
    model: str | None = None
    """Its name there; None means the same."""
    key_env: str | None = None
    key: SecretStr | None = None
    context_length: int = 0
    """0: not known here."""
    daily_tokens: int | None = None
    daily_cost_micro: int | None = None
    price_in_micro: int | None = None
    price_out_micro: int | None = None


def add(tx: Tx, actor: Actor, asked: Hosted) -> Model:
    """Register a hosted model, or describe one anew.

    Raises:
        InvalidInput: a name, URL, key or budget that cannot be.
        Forbidden: not an admin, or an address that the settings do not permit.
        Conflict: the name is taken by other weights or an alias.
    """
    require(actor, Scope.ADMIN)
    upstream = _described(tx.settings, asked)
    tx.alone("bases")
    models.refuse_if_alias(tx, organisation(tx), asked.name)
    row = tx.session.get(ModelRow, asked.name)
    if row is not None and row.kind is not ModelKind.HOSTED:
        raise Conflict(
            f"{asked.name!r} already names weights on this server; choose another name.",
            param="name",
        )
    if row is None:
        row = ModelRow(
            id=asked.name,
            org=organisation(tx),
            kind=ModelKind.HOSTED,
            created_at=tx.now(),
            path="",
            owned_by=outbound.host(upstream.url),
        )
        tx.session.add(row)
    row.upstream, row.max_context_length = upstream, asked.context_length
    row.owned_by = outbound.host(upstream.url)
    tx.session.flush()
    return models.get(tx, actor, row.id)


def served_by(
    settings: Settings, place: str, *, model: str | None, key_env: str | None
) -> Upstream:
    """The vLLM server that `vllm:http://127.0.0.1:8000` names.

    Raises:
        InvalidInput: another kind of server, no URL, or no name of a variable.
        Forbidden: an address that the settings do not permit.
    """
    kind, colon, url = place.partition(":")
    if not colon or kind != UpstreamKind.VLLM:
        raise InvalidInput(
            f"served_by is {place!r}, expected vllm:URL such as vllm:http://127.0.0.1:8000",
            param="served_by",
        )
    checked = outbound.checked_url(url).removesuffix("/v1")
    outbound.refuse_unlisted(checked, settings.upstream_hosts)
    _check_key_env(key_env)
    return Upstream(UpstreamKind.VLLM, checked, model=model, key_env=key_env)


async def context_of(settings: Settings, upstream: Upstream) -> int | None:
    """The most tokens that a vLLM server reads; None where it does not say.

    Raises:
        UpstreamFailed: it cannot be reached. InvalidInput: it has no base of this name.
    """
    clients = Upstreams(settings)
    try:
        adapters = clients.vllm(upstream).adapters
        cards = await adapters.listed()
        name = await adapters.base()
    finally:
        await clients.close()
    if name not in cards:
        raise InvalidInput(
            f"{outbound.host(upstream.url)} has no model {name!r}; it lists {', '.join(cards)}.",
            param="upstream_model",
        )
    length = cards[name].get("max_model_len")
    return length if isinstance(length, int) else None


def key_of(
    settings: Settings, model: Model, environment: Mapping[str, str] | None = None
) -> SecretStr | None:
    """The key to send, read now; None where the model needs none.

    Raises:
        UpstreamFailed: the environment lacks it.
        Corrupt: sealed with another machine's key.
    """
    upstream = model.upstream
    if upstream is None:
        return None
    if upstream.sealed_key is not None:
        return SecretStr(sealed.opened(settings, upstream.sealed_key))
    return key_from_environment(upstream, environment)


def refuse_if_spent(tx: Tx, model: Model) -> None:
    """Raises Busy when the day's budget of the model is spent; it says until when."""
    upstream = model.upstream
    if upstream is None:
        return
    spent = spent_today(tx, model.id)
    n_tokens, currency = spent.prompt_tokens + spent.completion_tokens, tx.settings.currency
    told = ""
    if upstream.daily_tokens is not None and n_tokens >= upstream.daily_tokens:
        told = f"{n_tokens:,} of {upstream.daily_tokens:,} tokens"
    elif upstream.daily_cost_micro is not None and spent.cost_micro >= upstream.daily_cost_micro:
        told = f"{spent.cost_micro / 1e6:.2f} of {upstream.daily_cost_micro / 1e6:.2f} {currency}"
    if told:
        raise Busy(
            f"The budget of {model.id} for today is spent: {told}. It answers again at midnight "
            "UTC; an admin can raise it by adding the model anew.",
            code="budget_spent",
            retry_after_s=(_midnight(tx.now()) - tx.now()).total_seconds(),
        )


def record(tx: Tx, model: Model, used: Used) -> None:
    """Add one request to the day's spending."""
    tx.alone(f"spending {model.id}")
    day = tx.now().date()
    row = tx.session.get(SpendingRow, (model.id, day))
    if row is None:
        names = ("n_requests", "prompt_tokens", "completion_tokens", "cost_micro", "n_estimated")
        row = SpendingRow(model=model.id, day=day, **dict.fromkeys(names, 0))
        tx.session.add(row)
    row.n_requests += 1
    row.n_estimated += used.estimated
    row.prompt_tokens += used.prompt_tokens
    row.completion_tokens += used.completion_tokens
    row.cost_micro += _cost_micro(model, used)


def spent_today(tx: Tx, model_id: str) -> Spent:
    row = tx.session.get(SpendingRow, (model_id, tx.now().date()))
    return Spent() if row is None else row.noun()


def _described(settings: Settings, asked: Hosted) -> Upstream:
    if not models.BASE_NAME.fullmatch(asked.name):
        raise InvalidInput(
            f"name is {asked.name!r}; it has letters, digits and . _ / - (no colon).", param="name"
        )
    if asked.kind not in HOSTED:
        raise InvalidInput(f"kind is {asked.kind}, expected openai or mistral", param="kind")
    url = outbound.checked_url(asked.url)
    outbound.refuse_unlisted(url, settings.upstream_hosts)
    _check_key(asked)
    prices = (asked.price_in_micro, asked.price_out_micro)
    if asked.daily_cost_micro is not None and None in prices:
        raise InvalidInput(
            "a budget in money needs the prices of a million tokens, in and out",
            param="daily_cost_micro",
        )
    numbers = {
        "context_length": asked.context_length,
        "daily_tokens": asked.daily_tokens,
        "daily_cost_micro": asked.daily_cost_micro,
        "price_in_micro": asked.price_in_micro,
        "price_out_micro": asked.price_out_micro,
    }
    for name, value in numbers.items():
        if value is not None and value < 0:
            raise InvalidInput(f"{name} is {value}, expected 0 or more", param=name)
    return Upstream(
        kind=asked.kind,
        url=url,
        model=asked.model or asked.name,
        key_env=asked.key_env,
        sealed_key=(
            None if asked.key is None else sealed.seal(settings, asked.key.get_secret_value())
        ),
        daily_tokens=asked.daily_tokens,
        daily_cost_micro=asked.daily_cost_micro,
        price_in_micro=asked.price_in_micro,
        price_out_micro=asked.price_out_micro,
    )


def _check_key(asked: Hosted) -> None:
    if asked.key_env is not None and asked.key is not None:
        raise InvalidInput("give key_env or api_key, not both", param="key_env")
    if asked.key is not None and not asked.key.get_secret_value().isprintable():
        raise InvalidInput("api_key holds characters that no header can carry", param="api_key")
    _check_key_env(asked.key_env)


def _check_key_env(key_env: str | None) -> None:
    if key_env is None:
        return
    if not ENVIRONMENT_NAME.fullmatch(key_env):
        raise InvalidInput(
            "key_env is not the name of an environment variable (the key itself does not belong "
            "there)",
            param="key_env",
        )
    if key_env.upper().startswith(ENVIRONMENT_PREFIX):
        raise InvalidInput(
            f"key_env is {key_env}; what begins with {ENVIRONMENT_PREFIX} is this server's "
            "own and sent to nobody",
            param="key_env",
        )


def _cost_micro(model: Model, used: Used) -> int:
    """Rounded up, so that many small requests do not count to nothing."""
    upstream = model.upstream
    if upstream is None:
        return 0
    prompt = used.prompt_tokens * (upstream.price_in_micro or 0)
    answer = used.completion_tokens * (upstream.price_out_micro or 0)
    return -(-(prompt + answer) // 1_000_000)


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
