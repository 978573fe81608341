"""Adapters at one vLLM server: loaded when first asked for, under names that never change meaning.

A name is made of the adapter's version, which is a hash of its bytes: other bytes have another
name, so a name that is there already is the right one. vLLM keeps names in memory only: `watch`
sees a restart and registers again what was in use. Nothing is ever unloaded: unloading forgets the
name and leaves the weights in the engine, which evicts by itself. Only versions we know get a name,
and no name but these and the base's is ever sent, so no caller can make the server load a path.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from modiste.errors import BadRequest, InvalidInput, ModisteError, UpstreamFailed
from modiste.serve.vllm_wire import Metrics, metrics

PREFIX = "modiste-"
VERSION = re.compile(r"[0-9a-zA-Z]{1,64}")
PLAIN_INITS = frozenset({"gaussian", "eva", "orthogonal"})
"""Names of `init_lora_weights` that leave a plain adapter behind."""
REQUEST_S = 60.0
"""For loading an adapter, and for what is asked in passing."""
Send = Callable[[str, str, Mapping[str, Any] | None], Awaitable[httpx.Response]]
"""Method, path and JSON body to the server's answer; raises UpstreamFailed where there is none."""


class Adapters:
    """Args:
    send: the way to the server.
    base: the name that the base has there; None takes the first that the server lists.
    """

    def __init__(self, send: Send, *, who: str, base: str | None = None) -> None:
        self._send, self._who = send, who
        self._base = base
        self._folders: dict[str, Path] = {}
        """What is registered there, as far as we know."""
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.healthy: bool | None = None
        self.metrics = Metrics()
        self.n_restarts = 0

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._folders)

    async def name_of(self, adapter: str | None, version: str | None) -> str:
        """The name to ask by; the adapter is loaded where it is not there yet.

        Raises:
            BadRequest: vLLM cannot compute this adapter, or has no room for its rank.
            UpstreamFailed: the server cannot be reached, or does not let adapters be loaded.
        """
        if adapter is None:
            return await self.base()
        name = name_for(version)
        async with self._locks[name]:
            if name not in self._folders:
                await self._load(name, Path(adapter))
                self._folders[name] = Path(adapter)
        return name

    async def base(self) -> str:
        if self._base is None:
            cards = await self.listed()
            bases = [name for name, card in cards.items() if card.get("parent") is None]
            if not bases:
                raise UpstreamFailed(f"{self._who} lists no base model")
            self._base = bases[0]
        return self._base

    def forget(self, name: str) -> None:
        """The server said that it does not know this name."""
        self._folders.pop(name, None)

    async def listed(self) -> dict[str, dict[str, Any]]:
        """Cards of all that the server answers for, by name, in its order."""
        answer = await self._send("GET", "/v1/models", None)
        try:
            return {str(card["id"]): card for card in answer.json()["data"]}
        except (ValueError, KeyError, TypeError):
            raise UpstreamFailed(f"{self._who} does not list models; is it vLLM?") from None

    async def look(self) -> None:
        """Health, names and metrics once; what a restart lost is registered again."""
        try:
            self.healthy = (await self._send("GET", "/health", None)).status_code == 200
            if not self.healthy:
                return
            there = await self.listed()
            text = await self._send("GET", "/metrics", None)
        except ModisteError:
            self.healthy = False
            return
        self.metrics = metrics(text.text) if text.status_code == 200 else Metrics()
        lost = {name: folder for name, folder in self._folders.items() if name not in there}
        self.n_restarts += bool(lost)
        for name, folder in lost.items():
            self.forget(name)
            try:
                await self.name_of(str(folder), name.removeprefix(PREFIX))
            except ModisteError:
                continue  # Whoever asks for it next is told why.

    async def watch(self, every_s: float) -> None:
        while True:
            await self.look()
            await asyncio.sleep(every_s)

    async def _load(self, name: str, folder: Path) -> None:
        if (reason := why_not(folder)) is not None:
            raise BadRequest(
                f"vLLM cannot answer for this model: {reason}", code="model_not_served"
            )
        body = {"lora_name": name, "lora_path": str(folder)}
        answer = await self._send("POST", "/v1/load_lora_adapter", body)
        if answer.is_success:
            return
        said = _said(answer)
        if answer.status_code == 400 and "already been loaded" in said:
            return  # The same bytes: the name is their hash.
        if answer.status_code in (404, 405) and "LoRA" not in said and "adapter" not in said:
            raise UpstreamFailed(
                f"{self._who} does not let adapters be loaded: start it with --enable-lora and "
                "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 in its environment (one API server, listening "
                "on loopback)",
                code="upstream_cannot_load",
            )
        if "max_lora_rank" in said:
            raise BadRequest(
                f"{self._who} has no room for this adapter's rank ({said}): start it with a larger "
                "--max-lora-rank",
                code="model_not_served",
            )
        raise UpstreamFailed(
            f"{self._who} did not load the adapter in {folder} (a folder that it must be able to "
            f"read): {said}",
            code="upstream_cannot_load",
        )


def name_for(version: str | None) -> str:
    """Letters, digits and a dash: names of ours hold `:`, which other servers split at.

    Raises:
        InvalidInput: no version of an adapter.
    """
    if version is None or not VERSION.fullmatch(version):
        raise InvalidInput(f"adapter_version is {version!r}, expected the version of an adapter")
    return f"{PREFIX}{version}"


def why_not(adapter: Path) -> str | None:
    """Why vLLM cannot compute the PEFT adapter in this folder; None when nothing is known."""
    try:
        config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "its folder holds no adapter_config.json that can be read"
    init = config.get("init_lora_weights")
    saved = set(config.get("modules_to_save") or ()) - {"classifier", "score"}
    against = {
        "DoRA": config.get("use_dora"),
        "biases": config.get("lora_bias") or config.get("bias", "none") != "none",
        f"whole layers ({', '.join(sorted(saved))})": saved,
        "adapters on experts": config.get("target_parameters"),
        f"init_lora_weights={init}": isinstance(init, str) and init.lower() not in PLAIN_INITS,
    }
    extras = [what for what, there in against.items() if there]
    return (
        f"it computes plain LoRA, and this adapter has {' and '.join(extras)}" if extras else None
    )


def _said(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:300] or f"status {answer.status_code}"
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message") or error.get("detail") if isinstance(error, dict) else error
    return str(message)[:300]
