"""Adapters at a vLLM server: names that never change meaning, and what it cannot compute."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from modiste.errors import BadRequest, InvalidInput, UpstreamFailed
from modiste.serve.vllm_adapters import Adapters, name_for, why_not

CARDS = {"data": [{"id": "ours", "parent": "b"}, {"id": "b", "parent": None}]}


def adapter(folder: Path, **config: Any) -> Path:
    content = {"r": 4, "lora_alpha": 8, "peft_type": "LORA", "bias": "none", **config}
    (folder / "adapter_config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"bias": "lora_only"}, "biases"),
        ({"lora_bias": True}, "biases"),
        ({"modules_to_save": ["lm_head"]}, "lm_head"),
        ({"target_parameters": ["experts"]}, "experts"),
        ({"init_lora_weights": "pissa"}, "pissa"),
    ],
)
def test_what_is_more_than_plain_lora_is_named(
    tmp_path: Path, config: dict[str, Any], says: str
) -> None:
    assert says in (why_not(adapter(tmp_path, **config)) or "")


def test_plain_lora_is_computed(tmp_path: Path) -> None:
    assert why_not(adapter(tmp_path)) is None
    assert why_not(adapter(tmp_path, init_lora_weights="gaussian", use_rslora=True)) is None
    assert "adapter_config.json" in (why_not(tmp_path / "nowhere") or "")


def test_names_are_versions_and_nothing_else() -> None:
    assert name_for("a1B2") == "modiste-a1B2"
    for odd in (None, "", "../../etc/passwd", "a:b", "a/b", "x" * 65):
        with pytest.raises(InvalidInput):
            name_for(odd)


class Server:
    """Answers by its script: path to status and text or JSON."""

    def __init__(self, **answers: tuple[int, Any]) -> None:
        self.answers = {"models": (200, CARDS), **answers}
        self.asked: list[tuple[str, Any]] = []

    async def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        self.asked.append((path, body))
        status, value = self.answers[path.rpartition("/")[2].partition("_")[0]]
        return httpx.Response(status, json=value)

    def adapters(self, base: str | None = None) -> Adapters:
        return Adapters(self.send, who="vLLM at x", base=base)


def test_the_base_is_the_first_that_is_no_adapter_unless_it_was_named() -> None:
    assert asyncio.run(Server().adapters().name_of(None, None)) == "b"
    assert asyncio.run(Server().adapters("theirs").name_of(None, None)) == "theirs"
    with pytest.raises(UpstreamFailed, match="lists no base"):
        asyncio.run(Server(models=(200, {"data": []})).adapters().base())
    with pytest.raises(UpstreamFailed, match="is it vLLM"):
        asyncio.run(Server(models=(200, ["x"])).adapters().base())


@pytest.mark.parametrize(
    ("status", "message", "kind", "says"),
    [
        (500, "LoRA rank 64 is greater than max_lora_rank 16.", BadRequest, "--max-lora-rank"),
        (404, None, UpstreamFailed, "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"),
        (404, "No adapter found for /x", UpstreamFailed, "able to read"),
        (500, "out of memory", UpstreamFailed, "out of memory"),
    ],
)
def test_an_adapter_that_does_not_load_says_why_and_is_not_remembered(
    tmp_path: Path, status: int, message: str | None, kind: type[Exception], says: str
) -> None:
    body = {"error": {"message": message}} if message else {"detail": "Not Found"}
    adapters = Server(load=(status, body)).adapters()
    with pytest.raises(kind, match=says):
        asyncio.run(adapters.name_of(str(adapter(tmp_path)), "v"))
    assert adapters.names == frozenset()


def test_a_server_that_cannot_be_reached_is_ill_and_nothing_is_raised() -> None:
    async def send(method: str, path: str, body: Any) -> httpx.Response:
        raise UpstreamFailed("gone")

    adapters = Adapters(send, who="x")
    asyncio.run(adapters.look())
    assert adapters.healthy is False
