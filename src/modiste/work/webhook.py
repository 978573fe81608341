"""A webhook: one signed POST to the receiver that is set, as Standard Webhooks describes it.

The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` carry the number of the notice
(the same in every attempt), seconds since 1970, and `v1,` with the base64 of HMAC-SHA256 over
`id.timestamp.body` under the key behind `whsec_`. Where the URL may lead is checked by
`serve.outbound` when it is asked, redirects are not followed, the answer is not read.
Source: https://github.com/standard-webhooks/standard-webhooks (spec/standard-webhooks.md).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from datetime import datetime

import httpx

from modiste import __version__
from modiste.errors import Forbidden, InvalidInput, UpstreamFailed, UpstreamTimeout
from modiste.serve.outbound import CheckedTransport
from modiste.settings import Settings

TIMEOUT_S = 15.0
"""From the first look-up to the first line of the answer."""


def signature(key: bytes, number: str, at: datetime, body: bytes) -> dict[str, str]:
    """The three headers of this body."""
    seconds = str(int(at.timestamp()))
    signed = b".".join([number.encode(), seconds.encode(), body])
    mac = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": number,
        "webhook-timestamp": seconds,
        "webhook-signature": f"v1,{mac}",
    }


async def post(settings: Settings, number: str, body: bytes, *, at: datetime) -> None:
    """Return when the receiver has said 2xx.

    Raises:
        InvalidInput: the URL cannot be asked.
        Forbidden: it leads to where `upstream_hosts` permits nobody to go.
        UpstreamFailed: it cannot be reached, or answers anything else.
        UpstreamTimeout: it did not answer within TIMEOUT_S.
    """
    assert settings.webhook_url is not None  # noqa: S101 - callers send where it is set
    try:
        url = httpx.URL(settings.webhook_url.get_secret_value())
    except httpx.InvalidURL:
        raise InvalidInput("MODISTE_WEBHOOK_URL is no web address that can be asked.") from None
    who = f"The receiver {url.netloc.decode()} of webhooks"
    headers = {
        "content-type": "application/json",
        "user-agent": f"modiste/{__version__}",
        **signature(settings.webhook_key, number, at, body),
    }
    try:
        async with asyncio.timeout(TIMEOUT_S):
            status = await _status(settings, url, body, headers)
    except TimeoutError:
        raise UpstreamTimeout(
            f"{who} did not answer within {TIMEOUT_S:.0f} s. It should say 2xx first and work then."
        ) from None
    except Forbidden as error:
        raise Forbidden(f"MODISTE_WEBHOOK_URL: {error.message}", code=error.error_code) from None
    except httpx.HTTPError as error:
        raise UpstreamFailed(
            f"{who} cannot be reached ({error or type(error).__name__}). Check "
            "MODISTE_WEBHOOK_URL, and that it is up."
        ) from None
    if 300 <= status < 400:
        raise UpstreamFailed(
            f"{who} answered {status}, and redirects are not followed: set MODISTE_WEBHOOK_URL to "
            "where it leads."
        )
    if not 200 <= status < 300:
        raise UpstreamFailed(f"{who} answered {status}{_hint(status)}; only 2xx counts.")


async def _status(settings: Settings, url: httpx.URL, body: bytes, headers: dict[str, str]) -> int:
    """Without a client of httpx around it, which would write the whole URL into the log."""
    waits = {"timeout": httpx.Timeout(TIMEOUT_S).as_dict()}
    request = httpx.Request("POST", url, content=body, headers=headers, extensions=waits)
    async with CheckedTransport(settings.upstream_hosts) as transport:
        answer = await transport.handle_async_request(request)
        await answer.aclose()
        return answer.status_code


def _hint(status: int) -> str:
    if status in (401, 403):
        return " (does it hold the same MODISTE_WEBHOOK_SECRET?)"
    return " (is the path of MODISTE_WEBHOOK_URL right?)" if status in (404, 405, 410) else ""
