"""Secrets at rest: readable only with a key that does not lie in the database.

The key is a file of the home that only its owner may read, made when the first secret is kept.
Where workers run on other machines, MODISTE_SECRETS_KEY gives all of them the same one. Sealed with
Fernet (AES-128-CBC and HMAC-SHA256).
"""

from __future__ import annotations

import os

from cryptography.fernet import Fernet, InvalidToken

from modiste.errors import Corrupt, InvalidInput
from modiste.settings import Settings

KEY_FILE = "secrets.key"


def seal(settings: Settings, secret: str) -> str:
    return _fernet(settings).encrypt(secret.encode()).decode()


def opened(settings: Settings, sealed: str) -> str:
    """Raises Corrupt: sealed with another key than this machine's."""
    try:
        return _fernet(settings).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Corrupt(
            f"A secret was sealed with another key than that in {settings.home / KEY_FILE}; where "
            "several machines work, give all of them the same MODISTE_SECRETS_KEY."
        ) from None


def _fernet(settings: Settings) -> Fernet:
    if settings.secrets_key is not None:
        key = settings.secrets_key.get_secret_value().encode()
    else:
        key = _key_of_home(settings)
    try:
        return Fernet(key)
    except ValueError:
        raise InvalidInput(
            "The key of secrets is no Fernet key (32 bytes, URL-safe base64); `python -c 'from "
            "cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'` makes one."
        ) from None


def _key_of_home(settings: Settings) -> bytes:
    path = settings.home / KEY_FILE
    if not path.exists():
        # Whole before it has its name: another process may look at the same moment.
        beside = path.with_name(f".{KEY_FILE}-{os.getpid()}")
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as out:
            out.write(Fernet.generate_key())
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(beside, path)
        except FileExistsError:
            pass  # The other process was first; its key counts.
        finally:
            beside.unlink()
    return path.read_bytes().strip()
