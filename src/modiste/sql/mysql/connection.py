"""One MySQL client: it says who it is, then asks; every command ends in an answer of its own.

Refuses statements that are no UTF-8, several statements at once from clients that did not ask for
that (what somebody smuggles behind a `;` does not run), and everything from a key that was revoked
meanwhile. `KILL` reaches connections of the same key, or any with an admin key.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing

from modiste.errors import ModisteError, Unauthorized
from modiste.sql.channel import Channel, Gone
from modiste.sql.entrance import Entrance
from modiste.sql.errors import SqlError, translated
from modiste.sql.listener import Listener, Number
from modiste.sql.mysql import greeting, packets, results
from modiste.sql.mysql.greeting import PACKET_BYTES
from modiste.sql.mysql.packets import Packets, Reading, Refused
from modiste.sql.mysql.prepared import Shelf, bound
from modiste.sql.mysql.values import column, parameter
from modiste.sql.session import Session
from modiste.sql.turn import Interrupted, Turn
from modiste.types import Actor, Scope

log = logging.getLogger(__name__)
VERSION = "8.0.36-modiste"
"""What clients take us for: they choose their words by it."""
LOGIN_S = 10.0
LOGIN_BYTES = 64 * 1024
KILL = re.compile(r"\s*KILL\s+(?:(QUERY|CONNECTION)\s+)?(\d+)\s*;?\s*", re.IGNORECASE)
QUIT = 0x01


class MysqlConnection:
    """Serves one client; `turn` is what it is at."""

    def __init__(
        self,
        channel: Channel,
        number: Number,
        *,
        entrance: Entrance,
        listener: Listener,
        tls: ssl.SSLContext | None,
        idle_s: float,
    ) -> None:
        self.turn = Turn(channel.gone)
        self.actor: Actor | None = None
        self._channel, self._number = channel, number
        self._entrance, self._listener = entrance, listener
        self._tls, self._idle_s = tls, idle_s
        self._packets = Packets(channel)
        self._shelf = Shelf()
        self._abilities = 0
        self._session: Session
        self._commands: Mapping[int, Callable[[bytes], Awaitable[None]]] = {
            0x02: self._use,
            0x03: self._query,
            0x04: self._field_list,
            0x09: self._statistics,
            0x0C: self._process_kill,
            0x0E: self._ping,
            0x16: self._prepare,
            0x17: self._execute,
            0x18: self._long_data,
            0x19: self._close,
            0x1A: self._reset_statement,
            0x1B: self._set_option,
            0x1F: self._reset_connection,
        }

    async def serve(self) -> None:
        try:
            async with asyncio.timeout(LOGIN_S):
                await self._login()
            await self._serve_commands()
        except Refused as refused:
            self._packets.send(packets.error(refused.code, refused.message))
            await self._channel.drain()
        except TimeoutError:
            log.info("connection %d did not say who it is in time", self._number.id)
        except asyncio.CancelledError:
            self._packets.send(packets.error(1053, "Server shutdown in progress"))
            raise

    def refuse(self) -> None:
        self._packets.send(packets.error(1040, "Too many connections"))

    async def _login(self) -> None:
        """Raises Refused; afterwards there is a session."""
        salt = greeting.nonce()
        tls = self._tls is not None
        hello = greeting.greeting(version=VERSION, id_=self._number.id, salt=salt, tls=tls)
        self._packets.send(hello)
        packet = await self._packets.read(limit=LOGIN_BYTES)
        if self._tls is not None and greeting.wants_tls(packet):
            await self._channel.start_tls(self._tls)
            packet = await self._packets.read(limit=LOGIN_BYTES)
        reply = greeting.read_reply(packet)
        if not self._channel.private:
            raise Refused(3159, "Keys travel under TLS only, except on this machine: --ssl.")
        self._abilities = reply.abilities
        key = await self._key(reply, salt)
        try:
            self._session = await self._entrance.admit(key, "mysql")
        except Unauthorized:
            user = reply.user.encode("ascii", "backslashreplace").decode()[:80]
            said = f"Access denied for user '{user}': the password is no key of this server."
            raise Refused(1045, said) from None
        self._session.variables["connection_id"] = str(self._number.id)
        self.actor = self._session.caller
        await self._answered(self._enter, reply.database.encode())

    async def _key(self, reply: greeting.Reply, salt: bytes) -> str:
        if reply.plugin != greeting.PLUGIN:
            self._packets.send(greeting.switch(salt))
            if not (await self._packets.read(limit=LOGIN_BYTES)).strip(b"\0"):
                raise Refused(1045, "Access denied: give an API key as the password.")
        self._packets.send(greeting.FULL_PATH)
        said = await self._packets.read(limit=LOGIN_BYTES)
        if said == greeting.PUBLIC_KEY_WANTED and not self._channel.encrypted:
            self._packets.send(await greeting.public_key())
            sealed = await self._packets.read(limit=LOGIN_BYTES)
            said = await greeting.decrypted(sealed, salt)
        return said.rstrip(b"\0").decode("utf-8", "replace")

    async def _enter(self, database: bytes) -> None:
        """What comes first is the database that was named at connect, or just OK."""
        if database:
            await self._use(database)
        else:
            self._ok()

    async def _serve_commands(self) -> None:
        while True:
            self._packets.begin()
            try:
                async with asyncio.timeout(self._idle_s):
                    packet = await self._packets.read(limit=PACKET_BYTES)
            except TimeoutError:
                said = "The client was disconnected by the server because of inactivity."
                raise Refused(4031, said) from None
            if not packet or packet[0] == QUIT:
                return
            command = self._commands.get(packet[0])
            if command is None:
                self._packets.send(packets.error(1047, "Unknown command"))
            else:
                await self._answered(command, packet[1:])
            await self._channel.drain()

    async def _answered(self, command: Callable[[bytes], Awaitable[None]], body: bytes) -> None:
        """Run a command as this connection's turn; what goes wrong is its answer."""

        async def work() -> None:
            await command(body)

        try:
            await self.turn.take(work())
        except Interrupted:
            self._fail(1317, "Query execution was interrupted")
        except ModisteError as error:
            told = translated(error)
            self._fail(told.code, told.message)
        except (Gone, Refused):
            raise
        except Exception:
            log.exception("connection %d: a command failed", self._number.id)
            self._fail(1105, "Something went wrong here that nobody foresaw; see the server's log.")

    async def _query(self, body: bytes) -> None:
        statement = _decoded(body)
        kill = KILL.fullmatch(statement)
        if kill is not None:
            self._kill(int(kill[2]), whole=(kill[1] or "").upper() != "QUERY")
            return
        await self._run(statement, (), results.as_text)

    async def _run(
        self, statement: str, values: tuple[object, ...], encoding: results.Encoding
    ) -> None:
        await self._entrance.recheck(self._session)
        several = bool(self._abilities & greeting.MULTI_STATEMENTS) and not values
        if not several:
            self._entrance.refuse_several(statement, "mysql")
        async with aclosing(self._entrance.execute(statement, self._session, values)) as answers:
            await results.send(answers, self._packets, self._session, encoding, eof=self._eof)

    async def _use(self, body: bytes) -> None:
        name = _decoded(body).replace("`", "``")
        await self._run(f"USE `{name}`", (), results.as_text)

    async def _field_list(self, body: bytes) -> None:
        """The columns of a table, for clients that complete names."""
        name = _decoded(Reading(body).ended()).replace("`", "``")
        everything = f"SELECT * FROM `{name}`"  # noqa: S608 - quoted above
        _, columns = await self._entrance.describe(everything, self._session)
        for each in columns or ():
            said = column(each, database=self._session.database, table=name)
            self._packets.send(said + packets.text(b""))
        self._packets.send(results.terminal(status=packets.AUTOCOMMIT, n_warnings=0, eof=True))

    async def _prepare(self, body: bytes) -> None:
        statement = _decoded(body)
        self._entrance.refuse_several(statement, "mysql")
        n_parameters, columns = await self._entrance.describe(statement, self._session)
        if n_parameters > 0xFFFF:
            raise SqlError("Prepared statement contains too many placeholders", code=1390)
        kept = self._shelf.add(statement, n_parameters)
        n_columns = len(columns or ())
        head = b"\0" + kept.id.to_bytes(4, "little") + n_columns.to_bytes(2, "little")
        said = [head + n_parameters.to_bytes(2, "little") + b"\0" + b"\0\0"]
        if n_parameters:
            said += [parameter()] * n_parameters + self._eof_packet()
        if columns:
            said += [column(each, database=self._session.database) for each in columns]
            said += self._eof_packet()
        self._packets.send(*said)

    async def _execute(self, body: bytes) -> None:
        reading = Reading(body)
        kept = self._shelf.find(reading.number(4))
        reading.take(5)
        values = bound(kept, reading, limit=PACKET_BYTES)
        await self._run(kept.text, tuple(values), results.as_binary)

    async def _long_data(self, body: bytes) -> None:
        self._shelf.add_piece(body, limit=PACKET_BYTES)

    async def _close(self, body: bytes) -> None:
        self._shelf.drop(Reading(body).number(4))

    async def _reset_statement(self, body: bytes) -> None:
        self._shelf.find(Reading(body).number(4)).pieces.clear()
        self._ok()

    async def _reset_connection(self, body: bytes) -> None:
        self._shelf.clear()
        self._session = Session(self._session.caller, self._session.place, dialect="mysql")
        self._session.variables["connection_id"] = str(self._number.id)
        self._ok()

    async def _set_option(self, body: bytes) -> None:
        on = Reading(body).number(2) == 0
        self._abilities &= ~greeting.MULTI_STATEMENTS
        self._abilities |= greeting.MULTI_STATEMENTS if on else 0
        self._packets.send(results.terminal(status=packets.AUTOCOMMIT, n_warnings=0, eof=self._eof))

    async def _ping(self, body: bytes) -> None:
        self._ok()

    async def _statistics(self, body: bytes) -> None:
        self._packets.send(f"Threads: {self._listener.n_open}".encode())

    async def _process_kill(self, body: bytes) -> None:
        self._kill(Reading(body).number(4), whole=True)

    def _kill(self, id_: int, *, whole: bool) -> None:
        """Raises SqlError where there is no such connection, or it is somebody else's."""
        found = self._listener.find(id_)
        other = found[1].actor if found else None
        mine = self._session.caller
        may = (
            other is not None
            and other.org == mine.org
            and (other.key_id == mine.key_id or Scope.ADMIN in mine.scopes)
        )
        if found is None or not may:
            raise SqlError(f"Unknown thread id: {id_}", code=1094, sqlstate="HY000")
        self._ok()
        if whole:
            self._listener.end(id_)
        elif found[1] is not self:
            found[1].turn.interrupt()

    @property
    def _eof(self) -> bool:
        return not self._abilities & greeting.NO_EOF

    def _eof_packet(self) -> list[bytes]:
        return [packets.end(status=packets.AUTOCOMMIT, n_warnings=0)] if self._eof else []

    def _ok(self) -> None:
        self._packets.send(packets.ok(status=packets.AUTOCOMMIT, n_warnings=0))

    def _fail(self, code: int, message: str) -> None:
        self._packets.send(packets.error(code, message))


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        said = f"Byte {error.start + 1} of the statement is no UTF-8; connect with utf8mb4."
        raise SqlError(said, code=1300, sqlstate="22021") from None
