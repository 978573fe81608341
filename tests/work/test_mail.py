"""Mail over a real server on loopback: encrypted, or not at all; what fails is said exactly."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from receivers import PASSWORD, USER, Mailbox

from modiste import settings as settings_module
from modiste.errors import ModisteError, UpstreamFailed, UpstreamTimeout
from modiste.settings import Settings
from modiste.work import letter, mail

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
AT = datetime(2026, 11, 30, tzinfo=UTC)
TO = "team@example.org"
Make = Callable[..., Mailbox]
LOGIN = {"smtp_user": USER, "smtp_password": PASSWORD}


def settings_of(folder: Path, box: Mailbox, **changes: object) -> Settings:
    flags = {
        "home": folder / "home", "smtp_host": "localhost", "smtp_port": box.port,
        "mail_from": "modiste@example.org", "mail_to": (TO,), **changes,
    }  # fmt: skip
    return settings_module.load(flags, environment={})


def send(settings: Settings) -> None:
    made = letter.trial(sender="modiste@example.org", to=TO, at=AT, number="msg_1")
    mail.send(settings, made, to=TO)


def error_of(settings: Settings) -> str:
    with pytest.raises(ModisteError) as told:
        send(settings)
    assert isinstance(told.value, UpstreamFailed | UpstreamTimeout)
    return told.value.message


@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_it_is_encrypted_to_a_server_that_is_trusted_and_to_no_other(
    tmp_path: Path, mailbox: Make, monkeypatch: pytest.MonkeyPatch, tls: str
) -> None:
    box = mailbox(tls=tls, signs_in=True)
    settings = settings_of(tmp_path, box, smtp_tls=tls, **LOGIN)
    assert "certificate that is not trusted here (self-signed" in error_of(settings)
    monkeypatch.setenv("SSL_CERT_FILE", str(box.certificate))
    elsewhere = settings.model_copy(update={"smtp_host": "127.0.0.1"})
    assert "not trusted here (IP address mismatch" in error_of(elsewhere)
    assert (box.letters, box.heard) == ([], [])
    send(settings)
    assert [got["subject"] for got in box.letters] == ["[Modiste] A trial of notifications"]
    assert box.to == [TO]


def test_a_server_without_encryption_gets_neither_letter_nor_password(
    tmp_path: Path, mailbox: Make
) -> None:
    box = mailbox(signs_in=True)
    told = error_of(settings_of(tmp_path, box, **LOGIN))
    assert "STARTTLS extension not supported by server" in told
    assert "MODISTE_SMTP_TLS is starttls" in told
    assert (box.letters, box.heard) == ([], [])
    assert "does not speak TLS" in error_of(settings_of(tmp_path, box, smtp_tls="tls"))


def test_a_wrong_password_is_told_without_it(
    tmp_path: Path, mailbox: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = mailbox(tls="starttls", signs_in=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(box.certificate))
    told = error_of(settings_of(tmp_path, box, smtp_user=USER, smtp_password="wrong"))
    assert "refuses the user 'modiste' (535" in told
    assert "MODISTE_SMTP_PASSWORD" in told
    assert "wrong" not in told
    assert box.letters == []


def test_whom_the_server_does_not_know_and_what_it_does_not_take_now_is_told(
    tmp_path: Path, mailbox: Make
) -> None:
    box = mailbox()
    settings = settings_of(tmp_path, box, smtp_tls="off")
    box.refused = {TO}
    assert f"refuses the receiver {TO} (550 no such person). Check MODISTE_MAIL_TO" in (
        error_of(settings)
    )
    box.refused, box.busy = set(), 1
    assert "refuses the letter (451 come back later)" in error_of(settings)
    send(settings)
    assert len(box.letters) == 1


def test_nobody_at_the_port_and_somebody_who_is_silent_are_told_apart(
    tmp_path: Path, mailbox: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, mailbox(), smtp_tls="off")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setattr(mail, "TIMEOUT_S", 0.2)
        held = settings.model_copy(update={"smtp_port": port, "smtp_host": "127.0.0.1"})
        assert "said nothing for" in error_of(held)
    assert f"127.0.0.1:{port} cannot be reached (Connection refused)" in error_of(held)
    nowhere = settings.model_copy(update={"smtp_host": "nowhere.invalid"})
    assert "nowhere.invalid" in error_of(nowhere)
