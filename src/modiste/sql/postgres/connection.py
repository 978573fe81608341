"""One PostgreSQL client: it says who it is, then asks, in texts or in prepared statements.

There are no transactions here: every statement takes effect at once. BEGIN and COMMIT are answered
as drivers need it, and after an error inside them nothing more runs until ROLLBACK, as they expect.
A key that was revoked meanwhile is refused at its next statement.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing

from modiste.errors import ModisteError, Unauthorized
from modiste.sql.channel import Channel, Gone
from modiste.sql.entrance import Entrance
from modiste.sql.errors import SqlError, translated
from modiste.sql.listener import Listener, Number
from modiste.sql.postgres import messages, startup
from modiste.sql.postgres.answers import Answers
from modiste.sql.postgres.extended import Extended
from modiste.sql.postgres.messages import Broken, Reading, message
from modiste.sql.session import Session
from modiste.sql.turn import Interrupted, Turn
from modiste.types import Actor

log = logging.getLogger(__name__)
LOGIN_S = 10.0
MESSAGE_BYTES = 64 * 1024 * 1024
NO_DATABASE = "3D000"
QUIT = b"X"


class PostgresConnection:
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
        self._skipping = False
        """After an error in prepared statements everything up to Sync is left aside."""

    async def serve(self) -> None:
        try:
            async with asyncio.timeout(LOGIN_S):
                await self._login()
            await self._serve_messages()
        except Broken as broken:
            self._channel.send(messages.error("FATAL", broken.sqlstate, broken.message))
            await self._channel.drain()
        except TimeoutError:
            log.info("connection %d did not say who it is in time", self._number.id)
        except asyncio.CancelledError:
            said = "terminating connection due to administrator command"
            self._channel.send(messages.error("FATAL", "57P01", said))
            raise

    def refuse(self) -> None:
        self._channel.send(messages.error("FATAL", "53300", "sorry, too many clients already"))

    async def _login(self) -> None:
        said = await startup.names(self._channel, self._tls, self._cancel)
        key = await startup.password(self._channel)
        try:
            session = await self._entrance.admit(key, "postgres")
        except Unauthorized:
            user = said.get("user", "")[:80]
            raise Broken(
                "28P01",
                f'password authentication failed for user "{user}": the password is no key of '
                "this server",
            ) from None
        session.variables.update(startup.options(said))
        self.actor = session.caller
        self._answers = Answers(self._channel, session)
        self._extended = Extended(self._entrance, session, self._answers)
        self._messages: Mapping[bytes, Callable[[Reading], Awaitable[None]]] = {
            b"P": self._extended.parse,
            b"B": self._extended.bind,
            b"D": self._extended.describe,
            b"E": self._extended.execute,
            b"C": self._extended.close,
        }
        await self._enter(session, said)
        id_, secret = self._number.id, self._number.secret
        self._channel.send(startup.welcome(said, id_=id_, secret=secret))
        self._session = session
        self._ready()

    async def _enter(self, session: Session, said: Mapping[str, str]) -> None:
        """The database that was named; clients that name none send the user's name."""
        name = said.get("database", "")
        if not name:
            return
        quoted = '"' + name.replace('"', '""') + '"'
        try:
            async with aclosing(self._entrance.execute(f"USE {quoted}", session)) as results:
                async for _ in results:
                    pass
        except ModisteError as error:
            told = translated(error)
            if told.sqlstate != NO_DATABASE or name != said.get("user"):
                raise Broken(told.sqlstate, told.message) from None

    def _cancel(self, id_: int, secret: int) -> None:
        """What another connection is at ends; a wrong secret is not answered either."""
        found = self._listener.find(id_)
        if found is None:
            return
        number, connection = found
        if hmac.compare_digest(number.secret.to_bytes(4, "big"), secret.to_bytes(4, "big")):
            connection.turn.interrupt()

    async def _serve_messages(self) -> None:
        try:
            while True:
                try:
                    async with asyncio.timeout(self._idle_s):
                        letter, body = await messages.read(self._channel, limit=MESSAGE_BYTES)
                except TimeoutError:
                    said = "terminating connection due to idle-session timeout"
                    raise Broken("57P05", said) from None
                if letter == QUIT:
                    return
                await self._obey(letter, Reading(body))
                await self._channel.drain()
        finally:
            await self._extended.close_portals()

    async def _obey(self, letter: bytes, body: Reading) -> None:
        if letter == b"S":
            self._skipping = False
            if self._answers.state == b"I":
                await self._extended.close_portals()
            self._ready()
        elif letter == b"Q":
            self._skipping = False
            await self._answered(self._query, body)
            self._ready()
        elif self._skipping or letter == b"H":
            return  # Flush: everything is on its way already.
        elif letter in self._messages:
            self._skipping = not await self._answered(self._messages[letter], body)
        elif letter not in b"dcf":  # What is left of a COPY that was refused is no message of ours.
            raise Broken("08P01", f"invalid frontend message type {letter[0]}")

    async def _answered(self, verb: Callable[[Reading], Awaitable[None]], body: Reading) -> bool:
        """Take a turn; False where what it said was an error."""

        async def work() -> None:
            await self._entrance.recheck(self._session)
            await verb(body)

        try:
            await self.turn.take(work())
        except Interrupted:
            self._fail(SqlError("canceling statement due to user request", sqlstate="57014"))
        except ModisteError as error:
            self._fail(translated(error))
        except (Gone, Broken):
            raise
        except Exception:
            log.exception("connection %d: a message failed", self._number.id)
            said = "Something went wrong here that nobody foresaw; see the server's log."
            self._fail(SqlError(said, sqlstate="XX000"))
        else:
            return True
        return False

    async def _query(self, body: Reading) -> None:
        text = body.name()
        text = self._answers.allowed(text)
        n_results = 0
        async with aclosing(self._entrance.execute(text, self._session)) as results:
            async for result in results:
                n_results += 1
                await self._answers.tell(result)
        if not n_results:
            self._channel.send(message(b"I"))

    def _fail(self, error: SqlError) -> None:
        self._answers.failed()
        position = getattr(error, "position", None)
        said = messages.error("ERROR", error.sqlstate, error.message, position=position)
        self._channel.send(said)

    def _ready(self) -> None:
        self._channel.send(message(b"Z", self._answers.state))
