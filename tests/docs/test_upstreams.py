"""What docs/upstreams.md shows is run, in the order shown; the hosted model is a double."""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from modiste import settings as settings_module
from modiste.__main__ import main
from modiste.serve.breaker import Breaker
from modiste.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "serve"))
import vllm_double
from hosted_double import HostedDouble, completion, running, streamed
from vllm_double import VllmDouble

PAGE = (Path(__file__).parents[2] / "docs" / "upstreams.md").read_text(encoding="utf-8")
TINY = Path(settings_module.__file__).parent / "bases" / "tiny"
THERE = "https://api.example.com/v1"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostedDouble]:
    """The endpoint of the page, on loopback."""
    for name in list(os.environ):
        if name.startswith("MODISTE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODISTE_UPSTREAM_HOSTS", "127.0.0.0/8")
    monkeypatch.setenv("BIG_KEY", "sk-1")
    answer = HostedDouble(completion("On its way."), streamed("On its way."))
    with running(answer) as double:
        yield double


@pytest.mark.slow
def test_the_commands_of_the_page_do_what_it_says(
    double: HostedDouble, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {}
    for command in commands():
        typed, _, behind = command.rpartition(" | ")
        monkeypatch.setattr("sys.stdin", io.StringIO(typed.removeprefix("echo ").strip('"')))
        argv = shlex.split(behind.replace(THERE, double.url))
        assert argv[0] == "modiste"
        assert main(argv[1:]) == 0, command
        said[command] = capfd.readouterr().out
    assert "On its way." in next(out for line, out in said.items() if " chat " in line)
    assert double.headers[0]["authorization"] == "Bearer sk-1"
    assert double.bodies[0]["model"] == "large-2"
    history = said["modiste models aliases support-bot"]
    assert history.index("modiste-tiny") < history.index("big")
    assert "also support-bot" in said["modiste models list"]


def test_the_settings_and_numbers_of_the_page_are_those_of_the_code() -> None:
    (text,) = blocks("yaml")
    hosts = tuple(yaml.safe_load(text)["upstream_hosts"])
    inline = re.search(r"MODISTE_UPSTREAM_HOSTS=(\S+)", text)
    assert inline is not None
    loaded = settings_module.load({}, {"MODISTE_UPSTREAM_HOSTS": inline.group(1)})
    assert loaded.upstream_hosts == hosts
    for name in re.findall(r"`(upstream_\w+)`", PAGE):
        assert name in Settings.model_fields
    breaker = Breaker()
    assert vars(breaker)["_failures"] == 5
    assert (vars(breaker)["_first_pause_s"], vars(breaker)["_longest_pause_s"]) == (10.0, 300.0)


@pytest.mark.slow
def test_a_base_is_installed_with_the_server_that_computes_it(
    double: HostedDouble, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = next(
        line for block in blocks("bash") for line in block.splitlines() if "--served-by" in line
    )
    with vllm_double.running(VllmDouble(TINY, tmp_path)) as server:
        command = line.replace("/models/big-base", str(TINY))
        command = command.replace("http://127.0.0.1:8000", server.url)
        assert main(shlex.split(command)[1:]) == 0
        assert main(["models", "show", "big-base"]) == 0
    assert f"{server.url.removeprefix('http://')} (vllm)" in capfd.readouterr().out
