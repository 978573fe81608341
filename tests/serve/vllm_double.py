"""A double of a vLLM server: its protocol and its faults, with tokens from our own decoder.

It stands for what a test cannot have (a GPU, gigabytes of packages). Kept from vLLM 0.32, whose
source was read: adapters load under names that are cached for ever; a name that is there is
refused with 400; names live in memory and are gone after a restart; unloading forgets the name and
leaves the weights behind, and loading again makes a second copy; what a request leaves out is taken
from the model's generation_config; tokens are ids and `token_id:5` strings, a stop token included;
the model's own end token ends an answer unless told otherwise; ranks above the limit and adapters
that are more than plain LoRA fail to load with status 500. What the CPU build of that version
answered to the same requests is in LOG.md.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

from modiste.serve.engine import Engine
from modiste.serve.scheduler import Key
from modiste.serve.sequence import (
    Event,
    Failed,
    Finished,
    Generate,
    Grammar,
    GrammarKind,
    Logprob,
    PromptLogprobs,
    Sampling,
    Tokens,
)

GENERATION_CONFIG = {"temperature": 1.5, "top_p": 0.1, "top_k": 1, "repetition_penalty": 1.9}
"""What the model's file says, so that a client that leaves something out is found out."""
FAILED = (
    "Call to add_lora method failed: Worker failed with error '{}', please check the stack trace"
)
EOS = 2
"""Ends an answer whoever asks, unless `ignore_eos` is set."""


@dataclass
class VllmDouble:
    base: Path
    folder: Path
    """For copies of adapters: what was loaded does not follow its file."""
    served_name: str = "org/base"
    max_lora_rank: int = 16
    runtime_updating: bool = True
    max_model_len: int = 256
    with_token_ids: bool = True
    """False: as an older server, which knows token strings alone."""
    pause_s: float = 0.0
    url: str = ""
    names: dict[str, int] = field(default_factory=dict)
    """Registry: name to number; lost at a restart."""
    weights: dict[int, Path] = field(default_factory=dict)
    """In the engine; a name that was unloaded leaves them behind."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    loads: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    healthy: bool = True
    n_left: int = 0

    def __post_init__(self) -> None:
        self._numbers = itertools.count(1)
        self._told: dict[str, list[Event]] = {}
        self._lock = threading.Lock()
        torch.set_num_threads(1)
        self._engine = Engine(
            max_sequences=8,
            max_waiting=64,
            memory_bytes=2**29,
            emit=lambda key, event: self._told.setdefault(event.id, []).append(event),
        )

    def restart(self) -> None:
        self.names.clear()
        self.weights.clear()

    def compute(self, request: Generate) -> list[Event]:
        with self._lock:
            self._told.pop(request.id, None)
            self._engine.add(Key(1, next(self._numbers)), request)
            while not self._engine.idle:
                if not self._engine.step():
                    time.sleep(0.002)
            return self._told[request.id]

    def card(self, name: str, root: str, parent: str | None) -> dict[str, Any]:
        length = self.max_model_len if parent is None else None
        head = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "vllm"}
        return {**head, "root": root, "parent": parent, "max_model_len": length}

    async def load(self, asked: dict[str, Any]) -> Response:
        self.loads.append(asked)
        name, path = asked["lora_name"], Path(asked["lora_path"])
        if name in self.names and not asked.get("load_inplace"):
            return refused(
                400,
                f"The lora adapter '{name}' has already been loaded. If you want "
                "to load the adapter in place, set 'load_inplace' to True.",
            )
        if not (path / "adapter_config.json").is_file():
            return refused(404, f"Loading lora {name} failed: No adapter found for {path}")
        config = json.loads((path / "adapter_config.json").read_text())
        if config.get("use_dora"):
            return refused(500, FAILED.format("vLLM does not yet support DoRA."))
        if config["r"] > self.max_lora_rank:
            said = f"LoRA rank {config['r']} is greater than max_lora_rank {self.max_lora_rank}."
            return refused(500, FAILED.format(said))
        number = next(self._numbers)
        self.names[name] = number
        self.weights[number] = Path(shutil.copytree(path, self.folder / f"lora-{number}"))
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def unload(self, asked: dict[str, Any]) -> Response:
        if self.names.pop(asked["lora_name"], None) is None:  # The weights stay.
            return refused(404, f"The lora adapter '{asked['lora_name']}' cannot be found.")
        return PlainTextResponse("Success")

    async def complete(self, body: dict[str, Any]) -> Response:
        self.bodies.append(body)
        model = body["model"]
        if model != self.served_name and model not in self.names:
            return refused(404, f"The model `{model}` does not exist.", kind="NotFoundError")
        if not 0 < body.get("top_p", 1.0) <= 1:
            return refused(400, f"top_p must be in (0, 1], got {body['top_p']}.")
        if body["max_tokens"] > self.max_model_len:
            said = f"max_tokens={body['max_tokens']} cannot be greater than max_model_len="
            return refused(400, f"{said}{self.max_model_len}. Please request fewer output tokens.")
        if len(body["prompt"]) + body["max_tokens"] > self.max_model_len:
            said = f"This model's maximum context length is {self.max_model_len} tokens. However, "
            return refused(400, f"{said}you requested {body['max_tokens']} output tokens.")
        request = self._request(body, None if model == self.served_name else self.names[model])
        events = await asyncio.to_thread(self.compute, request)
        if isinstance(events[-1], Failed):
            return refused(500, events[-1].message)
        if body.get("stream"):
            return StreamingResponse(self._stream(body, events), media_type="text/event-stream")
        return JSONResponse(self._whole(body, events))

    def _request(self, body: dict[str, Any], number: int | None) -> Generate:
        said = {**GENERATION_CONFIG, **{k: v for k, v in body.items() if v is not None}}
        assert said["repetition_penalty"] == 1.0 or "prompt_logprobs" in body
        sampling = Sampling(
            temperature=said["temperature"],
            top_p=said["top_p"],
            top_k=said["top_k"] or None,
            min_p=said.get("min_p", 0.0),
            min_tokens=said.get("min_tokens", 0),
            repetition_penalty=said.get("repetition_penalty", 1.0),
            max_tokens=body["max_tokens"],
            seed=body.get("seed"),
            presence_penalty=body.get("presence_penalty", 0.0),
            frequency_penalty=body.get("frequency_penalty", 0.0),
            logit_bias={int(t): b for t, b in body.get("logit_bias", {}).items()},
            logprobs=body.get("logprobs"),
        )
        adapter = None if number is None else self.weights[number]
        ends = {*body.get("stop_token_ids", ())} | (set() if body.get("ignore_eos") else {EOS})
        schema = (body.get("structured_outputs") or {}).get("json")
        wished = None if schema is None else Grammar(GrammarKind.JSON_SCHEMA, json.dumps(schema))
        return Generate(
            f"cmpl-{next(self._numbers)}",
            str(self.base),
            tuple(body["prompt"]),
            adapter=None if adapter is None else str(adapter),
            adapter_version=None if number is None else f"{number}-{id(self)}",
            stop_ids=frozenset(ends),
            sampling=sampling,
            grammar=wished,
            prompt_logprobs=body.get("prompt_logprobs"),
        )

    async def _stream(self, body: dict[str, Any], events: list[Event]) -> AsyncIterator[bytes]:
        ids, logprobs, last = tokens_of(events)
        if last.n_generated > len(ids):  # vLLM tells the stop token, too.
            last_token = body["stop_token_ids"][0] if body["stop_token_ids"] else EOS
            ids, logprobs = [*ids, last_token], [*logprobs, Logprob(-0.5)]
        head = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": body["model"]}
        ended = False
        try:
            for at in range(0, len(ids), 2):
                end = at + 2 >= len(ids)
                choice = {
                    "index": 0,
                    "text": "?",
                    "logprobs": told_logprobs(ids[at : at + 2], logprobs[at : at + 2]),
                    "finish_reason": str(last.reason) if end else None,
                    "stop_reason": None,
                }
                if self.with_token_ids and body.get("return_token_ids"):
                    choice["token_ids"] = ids[at : at + 2]
                yield sse({**head, "choices": [choice]})
                await asyncio.sleep(self.pause_s)
            n_prompt = len(body["prompt"])
            usage = {"prompt_tokens": n_prompt, "completion_tokens": len(ids)}
            yield sse({**head, "choices": [], "usage": usage})
            yield b"data: [DONE]\n\n"
            ended = True
        finally:
            self.n_left += not ended

    def _whole(self, body: dict[str, Any], events: list[Event]) -> dict[str, Any]:
        told = next((e.logprobs for e in events if isinstance(e, PromptLogprobs)), ())
        prompt: list[Any] = [None]
        for token, each in zip(body["prompt"][1:], told, strict=True):
            found = {str(t): {"logprob": lp, "rank": 1} for t, lp in each.top}
            found[str(token)] = {"logprob": each.logprob, "rank": 9, "decoded_token": "?"}
            prompt.append(found)
        choice = {"index": 0, "text": "?", "finish_reason": "length", "prompt_logprobs": prompt}
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 1}
        return {"id": "cmpl-1", "object": "text_completion", "choices": [choice], "usage": usage}

    def metrics(self) -> str:
        names = ",".join(self.names)
        return (
            "# HELP vllm:num_requests_running Number of requests in model execution batches.\n"
            'vllm:num_requests_running{engine="0",model_name="org/base"} 3.0\n'
            'vllm:num_requests_waiting{engine="0",model_name="org/base"} 2.0\n'
            'vllm:kv_cache_usage_perc{engine="0",model_name="org/base"} 0.25\n'
            'vllm:lora_requests_info{max_lora="4",running_lora_adapters="",'
            'waiting_lora_adapters="old"} 10.0\n'
            f'vllm:lora_requests_info{{max_lora="4",running_lora_adapters="{names}",'
            'waiting_lora_adapters="modiste-a,modiste-b"} 20.0\n'
        )


def tokens_of(events: list[Event]) -> tuple[list[int], list[Logprob], Finished]:
    told = [event for event in events if isinstance(event, Tokens)]
    last = events[-1]
    assert isinstance(last, Finished)
    return [t for e in told for t in e.ids], [lp for e in told for lp in e.logprobs], last


def told_logprobs(ids: list[int], logprobs: list[Logprob]) -> dict[str, Any]:
    """As token strings; the token itself is among the top ones, whatever was asked for."""
    return {
        "tokens": [f"token_id:{token}" for token in ids],
        "token_logprobs": [each.logprob for each in logprobs],
        "top_logprobs": [
            {f"token_id:{t}": lp for t, lp in ((token, each.logprob), *each.top)}
            for token, each in zip(ids, logprobs, strict=True)
        ],
        "text_offset": [0] * len(ids),
    }


def refused(status: int, message: str, *, kind: str = "BadRequestError") -> Response:
    error = {"message": message, "type": kind, "param": None, "code": status}
    return JSONResponse({"error": error}, status)


def sse(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def app_of(double: VllmDouble) -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    async def health() -> Response:
        return Response(status_code=200 if double.healthy else 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        return PlainTextResponse(double.metrics())

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        cards = [double.card(double.served_name, str(double.base), None)]
        for name, number in double.names.items():
            cards.append(double.card(name, str(double.weights[number]), double.served_name))
        return {"object": "list", "data": cards}

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        double.headers.append(dict(request.headers))
        return await double.complete(await request.json())

    @app.post("/v1/{verb}_lora_adapter")
    async def adapters(verb: str, request: Request) -> Response:
        if not double.runtime_updating:
            return JSONResponse({"detail": "Not Found"}, 404)
        body = await request.json()
        return await (double.load(body) if verb == "load" else double.unload(body))

    return app


@contextmanager
def running(double: VllmDouble) -> Iterator[VllmDouble]:
    config = uvicorn.Config(app_of(double), host="127.0.0.1", port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the double did not start"
        time.sleep(0.01)
    double.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield double
    finally:
        server.should_exit = True
        thread.join(timeout=10)
