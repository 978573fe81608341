from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import pytest
from scripted_language import Language

from modiste import settings as settings_module
from modiste.sql.wires import Wires


def test_a_port_that_is_taken_is_told_and_the_other_is_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as holder:
            taken = holder.getsockname()[1]
            flags = {"home": tmp_path, "sql_mysql_port": taken, "sql_postgres_port": 0}
            settings = settings_module.load(flags, environment={})
            wires = Wires(settings, Language().entrance())
            await wires.start()
            assert list(wires.ports) == ["postgres"]
            await wires.close(drain_s=0)

    with caplog.at_level(logging.WARNING):
        asyncio.run(work())
    assert "MySQL clients are not served" in caplog.text
    assert "sql_mysql_port" in caplog.text


def test_ports_that_are_off_are_not_opened(tmp_path: Path) -> None:
    environment = {"MODISTE_SQL_MYSQL_PORT": "off", "MODISTE_SQL_POSTGRES_PORT": "off"}
    settings = settings_module.load({"home": tmp_path}, environment=environment)
    wires = Wires(settings, Language().entrance())
    asyncio.run(wires.start())
    assert wires.ports == {}
    assert not (tmp_path / "sql.key").exists()
