"""The flags that say where jobs train reach the settings of the server that is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste import settings
from modiste.cli import executor
from modiste.settings import Executor
from modiste.work.supervisor import environment


def test_flags_become_the_settings_of_a_server_and_of_its_parts(tmp_path: Path) -> None:
    given = executor.flags(Executor.RAY, 2, "10.0.0.7:6379")
    loaded = settings.load({"home": tmp_path} | given, {})
    parts = environment(loaded, base={})
    assert parts["MODISTE_EXECUTOR"] == "ray"
    assert parts["MODISTE_TRAIN_PROCESSES"] == "2"
    assert parts["MODISTE_RAY_ADDRESS"] == "10.0.0.7:6379"
    again = settings.load({}, parts)
    assert (again.executor, again.train_processes) == (Executor.RAY, 2)


def test_a_server_that_runs_already_does_not_hear_them_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = settings.load({"home": tmp_path} | executor.flags(Executor.TORCHRUN, 2, None), {})
    executor.say_unheard(loaded, standing=False)
    executor.say_unheard(settings.load({"home": tmp_path}, {}), standing=True)
    assert capsys.readouterr().err == ""
    executor.say_unheard(loaded, standing=True)
    assert "a server runs already" in capsys.readouterr().err
