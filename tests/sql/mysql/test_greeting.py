from __future__ import annotations

import asyncio
import os

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from modiste.sql.mysql import greeting
from modiste.sql.mysql.packets import Refused


def test_a_sealed_key_is_opened_and_nonsense_is_denied() -> None:
    async def work() -> None:
        salt = greeting.nonce()
        assert len(salt) == 20
        assert 0 not in salt
        told = await greeting.public_key()
        public = serialization.load_pem_public_key(told[1:])
        assert isinstance(public, rsa.RSAPublicKey)
        secret = b"mod_" + b"k" * 43 + b"\0"
        mixed = bytes(byte ^ salt[at % 20] for at, byte in enumerate(secret))
        oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)
        assert await greeting.decrypted(public.encrypt(mixed, oaep), salt) == secret
        with pytest.raises(Refused, match="cannot be opened"):
            await greeting.decrypted(os.urandom(256), salt)

    asyncio.run(work())


def test_a_reply_is_read_and_old_clients_are_refused() -> None:
    abilities = greeting.PROTOCOL_41 | greeting.PLUGIN_AUTH | greeting.CONNECT_WITH_DB
    fixed = (abilities | greeting.LENGTH_ENCODED_AUTH).to_bytes(4, "little") + bytes(28)
    reply = greeting.read_reply(fixed + b"me\0\x03abcshop\0mysql_native_password\0")
    assert (reply.user, reply.database, reply.plugin) == ("me", "shop", b"mysql_native_password")
    with pytest.raises(Refused, match="too old"):
        greeting.read_reply(bytes(40))
    with pytest.raises(Refused, match="Malformed"):
        greeting.read_reply(fixed + b"me\0\xfe")


def test_tls_is_wanted_by_a_reply_that_breaks_off() -> None:
    wanted = (greeting.TLS | greeting.PROTOCOL_41).to_bytes(4, "little") + bytes(28)
    assert greeting.wants_tls(wanted)
    assert not greeting.wants_tls(wanted + b"me\0")
