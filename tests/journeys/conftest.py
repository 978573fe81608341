"""One real server (front, worker, engine as processes) for all walks of a session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from modiste import settings as settings_module
from modiste.work import supervisor

STANDS_FOR_TINY = ("open-mistral-7b", "mistral-small-latest", "codestral-latest")


class Served(NamedTuple):
    url: str
    key: str


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    flags = {
        "home": tmp_path_factory.mktemp("served"),
        "port": 0,
        "workers": 1,
        "train_threads": 1,
        "engine_threads": 1,
        "base_aliases": dict.fromkeys(STANDS_FOR_TINY, "modiste-tiny"),
    }
    settings = settings_module.load(flags, environment={})
    with supervisor.running(settings, report=print) as ready:
        yield Served(ready.url, settings.admin_key_file.read_text(encoding="utf-8").strip())
