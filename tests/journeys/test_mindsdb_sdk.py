"""The official `mindsdb_sdk`, unchanged and in an environment of its own, against a real front."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
sys.path.insert(0, str(Path(__file__).parents[1] / "sql"))
from make_clients import client_python
from scripted import Front, ScriptedEngine, run_front, settings_for
from speaking import SAID, write_files

pytestmark = pytest.mark.slow
CLIENT = ("mindsdb_sdk", "3.5.0")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    settings = settings_for(tmp_path_factory.mktemp("sdk"))
    write_files(settings.sql_files)
    yield from run_front(settings, ScriptedEngine(ids=SAID))


def test_the_sdk_of_mindsdb_makes_asks_tunes_and_drops_models(front: Front) -> None:
    python = client_python(*CLIENT)
    if python is None:
        if os.environ.get("REQUIRE_STOCK_CLIENTS") == "1":
            pytest.fail("mindsdb_sdk is not installed in .clients: run `make clients`")
        pytest.skip("mindsdb_sdk is not installed in .clients: run `make clients`")
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "WALK_URL": front.url,
        "WALK_KEY": front.key,
        "NO_PROXY": "127.0.0.1",
    }
    walk = Path(__file__).parent / "walks" / "mindsdb_sdk_walk.py"
    done = subprocess.run(
        [str(python), str(walk)], env=environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-6000:]
