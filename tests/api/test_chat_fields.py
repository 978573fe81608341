"""Every field of both vendors' chat requests is honoured, a documented hint, or refused.

The fields are those of mistralai 3.7.0 (`ChatCompletionRequest`) and openai 3.52.0
(`CompletionCreateParamsBase`); where the clients are installed, their own lists are read and must
hold nothing else.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from modiste.api.chat_shapes import HINTS, NEUTRAL, ChatRequest

sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))
from make_clients import CLIENTS_DIR

DOCS = Path(__file__).parents[2] / "docs" / "chat.md"
MISTRAL = (
    "model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop",
    "random_seed", "metadata", "response_format", "tools", "tool_choice",
    "presence_penalty", "frequency_penalty", "min_tokens", "repetition_penalty", "top_k",
    "logprobs", "top_logprobs", "prompt_logprobs", "top_prompt_logprobs", "n", "prediction",
    "parallel_tool_calls", "reasoning_effort", "prompt_mode", "guardrails",
    "prompt_cache_key", "service_tier", "safe_prompt",
)  # fmt: skip
OPENAI = (
    "messages", "model", "audio", "frequency_penalty", "function_call", "functions",
    "logit_bias", "logprobs", "max_completion_tokens", "max_tokens", "metadata",
    "modalities", "moderation", "n", "parallel_tool_calls", "prediction",
    "presence_penalty", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier",
    "seed", "service_tier", "stop", "store", "stream", "stream_options", "temperature",
    "tool_choice", "tools", "top_logprobs", "top_p", "user", "verbosity",
    "web_search_options",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted({*MISTRAL, *OPENAI}))
def test_every_field_is_known(name: str) -> None:
    assert name in ChatRequest.model_fields


def test_every_known_field_is_in_the_documentation_once_where_it_belongs() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| h") or
            line.startswith("| refused")]  # fmt: skip
    honoured, hints, refused = ({*re.findall(r"`([a-z_.]+)`", row)} for row in rows)
    fields = set(ChatRequest.model_fields)
    assert {name for name in hints if "." not in name} == HINTS
    assert {name for name in refused if "." not in name} == set(NEUTRAL)
    named = {name.partition(".")[0] for name in honoured}
    assert named == fields - HINTS - set(NEUTRAL)


@pytest.mark.parametrize(
    ("client", "file", "start", "names"),
    [
        ("mistralai-3.7.0", "mistralai/client/models/chatcompletionrequest.py",
         "class ChatCompletionRequestTypedDict", MISTRAL),
        ("openai-3.52.0", "openai/types/chat/completion_create_params.py",
         "class CompletionCreateParamsBase", OPENAI),
    ],
)  # fmt: skip
def test_the_lists_are_those_of_the_clients(
    client: str, file: str, start: str, names: tuple[str, ...]
) -> None:
    found = sorted((CLIENTS_DIR / client).glob(f"lib/python3*/site-packages/{file}"))
    if not found:
        pytest.skip(f"{client} is not installed in .clients: run `make clients`")
    body = found[0].read_text().partition(start)[2].partition("\nclass ")[0]
    body = body.partition("\n\n\n")[0]
    fields = re.findall(r"^    ([a-z_]+): ", body, flags=re.M)
    # openai declares `stream` apart, once for each of its values.
    assert {*fields, "stream"} == {*names}
