"""Who a MySQL client is: the greeting, its reply, and the key it brings.

Keys are kept here as hashes only, and a hash must open nothing: MySQL's challenges
(`mysql_native_password`, the fast path of `caching_sha2_password`) could be answered by whoever has
read the stored hash, so neither is believed. Every client is led to the full path of
`caching_sha2_password`, where it sends the key itself: inside TLS, or, on this machine, encrypted
with an RSA key that lives as long as this process. Over a network without TLS nobody is let in.
"""

from __future__ import annotations

import secrets
import struct
from asyncio import to_thread
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from modiste.sql.mysql.packets import AUTOCOMMIT, Reading, Refused

PLUGIN = b"caching_sha2_password"
UTF8MB4 = 45
PACKET_BYTES = 64 * 1024 * 1024
"""The largest packet, as `max_allowed_packet` tells it."""

FOUND_ROWS, CONNECT_WITH_DB, PROTOCOL_41 = 1 << 1, 1 << 3, 1 << 9
TLS, SECURE_CONNECTION = 1 << 11, 1 << 15
MULTI_STATEMENTS, MULTI_RESULTS, PS_MULTI_RESULTS = 1 << 16, 1 << 17, 1 << 18
PLUGIN_AUTH, CONNECT_ATTRS, LENGTH_ENCODED_AUTH = 1 << 19, 1 << 20, 1 << 21
NO_EOF = 1 << 24
OFFERED = (
    1 | FOUND_ROWS | 1 << 2 | CONNECT_WITH_DB | 1 << 8 | PROTOCOL_41 | 1 << 10 | 1 << 13
    | SECURE_CONNECTION | MULTI_STATEMENTS | MULTI_RESULTS | PS_MULTI_RESULTS | PLUGIN_AUTH
    | CONNECT_ATTRS | LENGTH_ENCODED_AUTH | NO_EOF
)  # fmt: skip
"""Not LOCAL FILES, by which a server reads its clients' disks, and not compression."""
PUBLIC_KEY_WANTED, FULL_PATH = b"\x02", b"\x01\x04"


@dataclass(frozen=True)
class Reply:
    abilities: int
    user: str
    database: str
    plugin: bytes


def nonce() -> bytes:
    """Twenty bytes, none of them zero."""
    return bytes(1 + secrets.randbelow(255) for _ in range(20))


def greeting(*, version: str, id_: int, salt: bytes, tls: bool) -> bytes:
    """Protocol version 10."""
    abilities = OFFERED | (TLS if tls else 0)
    return (
        b"\x0a"
        + version.encode()
        + b"\0"
        + struct.pack("<I", id_)
        + salt[:8]
        + b"\0"
        + struct.pack("<HBHH", abilities & 0xFFFF, UTF8MB4, AUTOCOMMIT, abilities >> 16)
        + bytes((len(salt) + 1,))
        + bytes(10)
        + salt[8:]
        + b"\0"
        + PLUGIN
        + b"\0"
    )


def wants_tls(packet: bytes) -> bool:
    """A reply that breaks off before the user: the rest follows under TLS."""
    return len(packet) == 32 and bool(int.from_bytes(packet[:4], "little") & TLS)


def read_reply(packet: bytes) -> Reply:
    """Raises Refused for clients older than MySQL 4.1 and broken packets."""
    reading = Reading(packet)
    abilities = reading.number(4)
    if not abilities & PROTOCOL_41 or not abilities & PLUGIN_AUTH:
        raise Refused(1043, "This client is too old; MySQL 5.5 or newer is needed.")
    reading.take(28)
    user = reading.ended().decode("utf-8", "replace")
    if abilities & LENGTH_ENCODED_AUTH:
        reading.text()
    else:
        reading.take(reading.number(1))
    database = reading.ended() if abilities & CONNECT_WITH_DB else b""
    plugin = reading.ended()
    return Reply(abilities, user, database.decode("utf-8", "replace"), plugin)


def switch(salt: bytes) -> bytes:
    """Leads a client of another plugin to ours."""
    return b"\xfe" + PLUGIN + b"\0" + salt + b"\0"


@lru_cache(maxsize=1)
def _private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


async def public_key() -> bytes:
    """What the packet says that a client encrypts its key with."""
    key = await to_thread(_private_key)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return b"\x01" + key.public_key().public_bytes(serialization.Encoding.PEM, form)


async def decrypted(sealed: bytes, salt: bytes) -> bytes:
    """What a client sealed: the key XOR the salt, under RSA-OAEP. Raises Refused."""
    key = await to_thread(_private_key)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
    try:
        mixed = await to_thread(key.decrypt, sealed, oaep)
    except ValueError:
        raise Refused(1045, "Access denied: what the client sealed cannot be opened.") from None
    return bytes(byte ^ salt[at % len(salt)] for at, byte in enumerate(mixed))
