"""Who a PostgreSQL client is: TLS if it asks, its names, and its key as the password.

Keys are kept here as hashes only, from which SCRAM and md5 cannot be checked, so the key itself is
asked for: under TLS, or between two ends on this machine. Over a network without TLS nobody is let
in, and nobody is asked.
"""

from __future__ import annotations

import re
import ssl
import struct
from collections.abc import Callable, Mapping

from modiste.sql.channel import Channel, Gone
from modiste.sql.postgres import messages
from modiste.sql.postgres.messages import Broken, Reading, message

STARTUP_BYTES = 10_000
PASSWORD_BYTES = 10_000
OPTION = re.compile(r"-c\s*(\w+)=(\S*)|--(\w+)=(\S*)")
VERSION = "15.0 (Modiste)"
STATUS = {
    "server_version": VERSION,
    "server_encoding": "UTF8",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "integer_datetimes": "on",
    "standard_conforming_strings": "on",
    "is_superuser": "off",
    "in_hot_standby": "off",
    "default_transaction_read_only": "off",
}


async def names(
    channel: Channel, tls: ssl.SSLContext | None, cancel: Callable[[int, int], None]
) -> Mapping[str, str]:
    """What a client says of itself: `user`, `database`, …

    Raises:
        Broken: no protocol of ours.
        Gone: it only came to cancel another's statement, or left.
    """
    while True:
        code, body = await messages.read_startup(channel, limit=STARTUP_BYTES)
        if code == messages.SSL_REQUEST and tls is not None and not channel.encrypted:
            channel.send(b"S")
            await channel.start_tls(tls)
        elif code in (messages.SSL_REQUEST, messages.GSS_REQUEST):
            channel.send(b"N")
        elif code == messages.CANCEL_REQUEST:
            cancel(*struct.unpack("!II", Reading(body).take(8)))
            raise Gone
        elif code >> 16 == 3:
            return _read_names(channel, code, body)
        else:
            raise Broken("0A000", f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}")


def _read_names(channel: Channel, code: int, body: bytes) -> Mapping[str, str]:
    reading, said = Reading(body), {}
    while reading.left > 1:
        key = reading.name()
        said[key] = reading.name()
    unknown = [key for key in said if key.startswith("_pq_.")]
    if code & 0xFFFF or unknown:
        listed = struct.pack("!ii", 3 << 16, len(unknown)) + b"".join(map(messages.name, unknown))
        channel.send(message(b"v", listed))
    encoding = said.get("client_encoding", "UTF8").strip("'").upper().replace("-", "")
    if encoding not in ("UTF8", "UNICODE", "SQL_ASCII"):
        raise Broken("22023", f"client_encoding {encoding} is not spoken here; set it to UTF8")
    return said


async def password(channel: Channel) -> str:
    """Ask for the key. Raises Broken where somebody might read along."""
    if not channel.private:
        raise Broken("28000", "keys travel under TLS only, except on this machine: sslmode=require")
    channel.send(messages.authentication(messages.PASSWORD_WANTED))
    letter, body = await messages.read(channel, limit=PASSWORD_BYTES)
    if letter != b"p":
        raise Broken("08P01", f"expected a password, got message {letter!r}")
    return Reading(body).name()


def options(said: Mapping[str, str]) -> dict[str, str]:
    """What a client sets by connecting, as if by SET."""
    found = OPTION.findall(said.get("options", ""))
    named = {first or second: value or other for first, value, second, other in found}
    left_out = ("user", "database", "options", "replication")
    rest = {k: v for k, v in said.items() if k not in left_out and not k.startswith("_pq_.")}
    return {**rest, **named}


def welcome(said: Mapping[str, str], *, id_: int, secret: int) -> bytes:
    """All that follows the key."""
    told = STATUS | {
        "session_authorization": said.get("user", ""),
        "application_name": said.get("application_name", ""),
    }
    status = b"".join(messages.parameter(key, value) for key, value in told.items())
    return (
        messages.authentication(messages.AUTHENTICATED)
        + status
        + message(b"K", struct.pack("!II", id_, secret))
    )
