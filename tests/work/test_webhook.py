"""Webhooks: signed as Standard Webhooks says, sent where it is permitted, and nowhere else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from receivers import Hook

from modiste import settings as settings_module
from modiste.errors import Forbidden, ModisteError, UpstreamFailed, UpstreamTimeout
from modiste.settings import Settings
from modiste.work import webhook

AT = datetime(2026, 11, 30, tzinfo=UTC)
KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def settings_of(folder: Path, hook: Hook, **changes: object) -> Settings:
    flags = {
        "home": folder / "home", "webhook_url": hook.url, "webhook_secret": SECRET,
        "upstream_hosts": f"public,127.0.0.1:{hook.port}", **changes,
    }  # fmt: skip
    return settings_module.load(flags, environment={})


def post(settings: Settings) -> None:
    asyncio.run(webhook.post(settings, "msg_1", b'{"a": 1}', at=AT))


def error_of(settings: Settings) -> ModisteError:
    with pytest.raises(ModisteError) as told:
        post(settings)
    assert "of-the-receiver" not in told.value.message
    return told.value


def test_the_signature_is_that_of_the_standards_own_example() -> None:
    """From the README of the Standard Webhooks libraries."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = webhook.signature(
        key,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_receiver_gets_a_body_that_it_can_check_and_the_log_no_url(
    tmp_path: Path, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        post(settings_of(tmp_path, hook))
    assert "of-the-receiver" not in caplog.text
    (got,) = hook.got
    assert got.path == "/hook?key=of-the-receiver"
    assert got.headers["content-type"] == "application/json"
    assert got.headers["user-agent"].startswith("modiste/")
    assert got.headers["host"] == f"127.0.0.1:{hook.port}"
    assert (got.headers["webhook-id"], json.loads(got.body)) == ("msg_1", {"a": 1})
    signed = f"msg_1.{int(AT.timestamp())}.".encode() + got.body
    mac = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert got.headers["webhook-signature"] == f"v1,{mac}"


def test_an_address_that_is_not_permitted_is_not_asked_and_told_how_to_permit(
    tmp_path: Path, hook: Hook
) -> None:
    told = error_of(settings_of(tmp_path, hook, upstream_hosts="public"))
    assert isinstance(told, Forbidden)
    assert told.message.startswith(f"MODISTE_WEBHOOK_URL: 127.0.0.1:{hook.port} lies on this mach")
    assert f"MODISTE_UPSTREAM_HOSTS=public,127.0.0.1:{hook.port}" in told.message
    assert hook.got == []


def test_redirects_are_not_followed_and_only_2xx_counts(tmp_path: Path, hook: Hook) -> None:
    settings = settings_of(tmp_path, hook)
    hook.answers = [302, 401, 404, 500]
    told = [error_of(settings) for _ in range(4)]
    assert all(isinstance(each, UpstreamFailed) for each in told)
    assert "answered 302, and redirects are not followed" in told[0].message
    assert "401 (does it hold the same MODISTE_WEBHOOK_SECRET?)" in told[1].message
    assert "404 (is the path of MODISTE_WEBHOOK_URL right?)" in told[2].message
    assert "answered 500; only 2xx counts" in told[3].message
    assert [got.path.partition("?")[0] for got in hook.got] == ["/hook"] * 4
    post(settings)


def test_who_is_slow_or_away_is_told(
    tmp_path: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.2)
    hook.pause_s = 0.5
    slow = error_of(settings_of(tmp_path, hook))
    assert isinstance(slow, UpstreamTimeout)
    hook.close()
    away = error_of(settings_of(tmp_path, hook))
    assert isinstance(away, UpstreamFailed)
    assert "cannot be reached" in away.message
