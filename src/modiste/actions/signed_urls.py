"""Tokens that open one thing for a while without a key: HMAC over what and until when.

The secret is drawn once per home and kept in `<home>/signing.key` (mode 0600). Several fronts with
separate homes must share that file, or each opens only the links it signed itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from modiste.errors import Forbidden
from modiste.settings import Settings


def sign(settings: Settings, subject: str, *, until: datetime) -> str:
    payload = f"{int(until.timestamp())}:{subject}".encode()
    return f"{_text(payload)}.{_text(_mac(settings, payload))}"


def verify(settings: Settings, token: str, *, now: datetime) -> str:
    """The subject of a token.

    Raises:
        Forbidden: not signed here, altered, or past its time.
    """
    payload_text, _, mac_text = token.partition(".")
    try:
        payload, mac = _bytes(payload_text), _bytes(mac_text)
        if not hmac.compare_digest(mac, _mac(settings, payload)):
            raise ValueError("signature")
        until, _, subject = payload.decode().partition(":")
        expired = int(until) <= now.timestamp()
    except ValueError:
        raise Forbidden(
            "This link is not valid here; ask the file's /url again.", code="bad_signature"
        ) from None
    if expired:
        raise Forbidden("This link has expired; ask the file's /url again.", code="link_expired")
    return subject


def _mac(settings: Settings, payload: bytes) -> bytes:
    return hmac.new(_secret(settings.home / "signing.key"), payload, hashlib.sha256).digest()


def _secret(path: Path) -> bytes:
    """Drawn by whoever comes first; `link` makes sure that exactly one draw wins."""
    if not path.exists():
        beside = path.with_name(f".signing-{os.getpid()}-{secrets.token_hex(4)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(secrets.token_bytes(32))
            out.flush()
            os.fsync(out.fileno())
        with suppress(FileExistsError):
            os.link(beside, path)
        beside.unlink()
    return path.read_bytes()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
