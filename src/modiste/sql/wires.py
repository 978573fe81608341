"""The ports that SQL clients connect to: MySQL's protocol and PostgreSQL's, beside the front.

A port that is taken is done without, and said: it never keeps the front from serving.
"""

from __future__ import annotations

import asyncio
import logging
import ssl

from modiste.errors import ModisteError
from modiste.settings import Settings
from modiste.sql import certificate
from modiste.sql.channel import Channel
from modiste.sql.entrance import Entrance
from modiste.sql.listener import Connection, Listener, Number
from modiste.sql.mysql.connection import MysqlConnection
from modiste.sql.postgres.connection import PostgresConnection

log = logging.getLogger(__name__)


class Wires:
    """Both listeners of one process, as the settings want them."""

    def __init__(self, settings: Settings, entrance: Entrance) -> None:
        self.ports: dict[str, int] = {}
        """Where each listens that does."""
        self._settings, self._entrance = settings, entrance
        self._tls: ssl.SSLContext | None = None
        self._mysql = Listener(self._mysql_connection, limit=settings.sql_max_connections)
        self._postgres = Listener(self._postgres_connection, limit=settings.sql_max_connections)

    async def start(self) -> None:
        """Listen wherever that can be done; what cannot is said in the log."""
        wanted = (
            ("mysql", self._mysql, self._settings.sql_mysql_port),
            ("postgres", self._postgres, self._settings.sql_postgres_port),
        )
        if all(port is None for _, _, port in wanted):
            return
        try:
            self._tls = certificate.context(self._settings)
        except ModisteError as error:
            log.error("SQL clients are served without TLS, on this machine only: %s", error.message)
        for name, listener, port in wanted:
            if port is not None:
                await self._listen(name, listener, port)

    async def close(self, *, drain_s: float) -> None:
        """Take nobody more; statements under way have so long to finish."""
        await asyncio.gather(
            self._mysql.close(drain_s=drain_s), self._postgres.close(drain_s=drain_s)
        )

    @property
    def n_open(self) -> int:
        """Clients on both ports."""
        return self._mysql.n_open + self._postgres.n_open

    async def _listen(self, name: str, listener: Listener, port: int) -> None:
        try:
            self.ports[name] = await listener.start(self._settings.host, port)
        except OSError as error:
            field = f"sql_{name}_port"
            log.warning(
                "%s clients are not served: port %d: %s; choose another with %s (0 picks a free "
                "one, off opens none)",
                {"mysql": "MySQL", "postgres": "PostgreSQL"}[name],
                port,
                error.strerror,
                field,
            )
        else:
            log.info("%s clients: port %d", name, self.ports[name])

    def _mysql_connection(self, channel: Channel, number: Number) -> Connection:
        return MysqlConnection(
            channel,
            number,
            entrance=self._entrance,
            listener=self._mysql,
            tls=self._tls,
            idle_s=self._settings.sql_idle_timeout_s,
        )

    def _postgres_connection(self, channel: Channel, number: Number) -> Connection:
        return PostgresConnection(
            channel,
            number,
            entrance=self._entrance,
            listener=self._postgres,
            tls=self._tls,
            idle_s=self._settings.sql_idle_timeout_s,
        )
