"""`modiste notifications`: a trial of what is set, and what was told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from receivers import Hook, Mailbox


def test_a_trial_says_of_everybody_what_failed(
    modiste, monkeypatch: pytest.MonkeyPatch, mailbox: Callable[..., Mailbox], hook: Hook
) -> None:
    box = mailbox()
    box.refused = {"b@example.org"}
    for name, value in {
        "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(box.port), "SMTP_TLS": "off",
        "MAIL_FROM": "m@example.org", "MAIL_TO": "a@example.org,b@example.org",
        "WEBHOOK_URL": hook.url, "WEBHOOK_SECRET": "whsec_" + "a" * 44,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"MODISTE_{name}", value)
    result = modiste("notifications", "test")
    assert result.code == 1
    said = result.out + result.err
    assert "mail to a@example.org: delivered" in said
    assert "mail to b@example.org: FAILED. The mail server" in said
    assert "550 no such person" in said
    assert "webhook: FAILED. MODISTE_WEBHOOK_URL: 127.0.0.1" in said
    assert hook.got == []
    assert [letter["to"] for letter in box.letters] == ["a@example.org"]

    box.refused = set()
    monkeypatch.setenv("MODISTE_UPSTREAM_HOSTS", "127.0.0.1")
    whole = modiste("notifications", "test", "--json")
    assert whole.code == 0
    assert [each["ok"] for each in whole.json["data"]] == [True] * 3
    assert "Nobody was to be told" in (told := modiste("notifications", "list")).out + told.err


def test_where_nobody_is_set_it_is_wrong_usage(modiste) -> None:
    result = modiste("notifications", "test")
    assert result.code == 2
    assert "MODISTE_MAIL_TO" in result.err
