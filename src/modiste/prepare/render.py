"""Messages to token ids and loss mask, and ids back to text: one renderer for training and serving.

What a model is trained on is what it is served: for every trained assistant turn, `prompt` of the
messages before it is a prefix of the training ids. Texts never turn into control tokens, whatever
a user writes, and control tokens never show up in decoded text.

    renderer = render.load(base_dir)
    for sample in renderer.training_samples(example): ...   # what to train on
    ids = renderer.prompt(messages)                          # what to generate behind
    stream = renderer.stream_decoder(); stream.push(ids); stream.flush()
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from modiste.errors import InvalidInput
from modiste.prepare.conversation import Rules
from modiste.prepare.detokenize import StreamDecoder
from modiste.prepare.infill import Infill
from modiste.prepare.manner import Effort, Manner
from modiste.prepare.marks import MarkedDecoder
from modiste.prepare.rendered import Rendered
from modiste.types import Example, Message

__all__ = ["Rendered", "Renderer", "StreamDecoder", "ahead", "load"]

READ_AHEAD = 128
"""Examples; enough to tokenise them together, few enough to be held."""


class Renderer(Protocol):
    fingerprint: str
    """Changes when any token could change: tokenizer and template, hashed."""
    rules: Rules
    """What the format accepts (tools, ids of tool calls)."""
    vocab_size: int
    spelling: Sequence[bytes]
    """The bytes of each id, empty for control tokens."""
    bos_id: int | None
    eos_id: int
    stop_ids: frozenset[int]
    """Ids that end an answer."""

    @property
    def chats(self) -> bool:
        """Whether conversations can be written; plain text always can."""
        ...

    @property
    def fim(self) -> Infill | None:
        """How the base is asked to write between two texts; None where it does not know how."""
        ...

    @property
    def manner(self) -> Manner:
        """How the base writes calls of tools and thoughts."""
        ...

    def training(self, example: Example) -> Rendered:
        """The row as one sequence, ids as `encode_chat_completion` writes them.

        Turns that would be served behind other tokens are masked; `training_samples` trains them.

        Raises:
            InvalidInput: the row breaks the rules of the format; the message names every violation.
        """
        ...

    def read_ahead(self, examples: Sequence[Example]) -> None:
        """Say which examples `training_samples` will be asked for next, a few hundred at a time.

        It changes how long that takes, and nothing else. What was read ahead before is forgotten.
        """
        ...

    def training_samples(
        self, example: Example, *, max_length: int | None = None
    ) -> list[Rendered]:
        """The sequences to train on: each wanted turn trained once, behind its served prompt.

        One sequence for most rows, several where the format moves instructions between turns, none
        where no turn is wanted. Conversations are never cut; plain text longer than `max_length`
        is cut into pieces.

        Raises:
            InvalidInput: as `training`, or the chat template cannot be trained at all.
        """
        ...

    def prompt(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        safe_prompt: bool = False,
        effort: Effort | None = None,
    ) -> list[int]:
        """The ids behind which the model answers.

        A last assistant message with `prefix` is continued. `tools` as in the API:
        `{"type": "function", "function": {"name", "description", "parameters"}}`. `effort` is one
        of `manner.efforts`; None leaves it as it is in training.

        Raises:
            BadRequest: with the API's `error_code`: `invalid_request_message_order`,
                `invalid_function_call` or `invalid_request_invalid_args`.
        """
        ...

    def encode(self, text: str) -> list[int]:
        """Text only: no control tokens come in, neither around it nor from within."""
        ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def token_name(self, token_id: int) -> str | None:
        """What a control token is called, such as `[INST]`; None for a token that is text."""
        ...

    def stream_decoder(self, *, continuing: bool = False) -> StreamDecoder:
        """For ids as they arrive. `continuing` when they follow a `prefix` message's text."""
        ...

    def answer_decoder(self, *, tools: bool, continuing: bool = False) -> MarkedDecoder:
        """As `stream_decoder`, with the marks of thoughts and, for `tools`, those of calls."""
        ...

    def opens_thought(self, prompt: Sequence[int]) -> bool:
        """Whether the model begins its answer within a thought that the prompt has opened."""
        ...


def ahead(examples: Iterable[Example], renderer: Renderer) -> Iterator[Example]:
    """The same examples in order; the renderer is shown some of them before they are asked for."""
    waiting = iter(examples)
    while batch := list(islice(waiting, READ_AHEAD)):
        renderer.read_ahead(batch)
        yield from batch


def load(base_dir: Path) -> Renderer:
    """The renderer of a base model's folder.

    Mistral's own files (`tekken.json`, `tokenizer.model.vN`) come first; otherwise
    `tokenizer.json` with the chat template beside it. A folder without a template still renders
    plain text, and refuses conversations by name.

    Raises:
        InvalidInput: naming what is missing or unreadable.
    """
    if mistral_file := mistral_tokenizer_file(base_dir):
        from modiste.prepare.render_mistral import MistralRenderer

        return MistralRenderer(mistral_file)
    if (base_dir / "tokenizer.json").is_file():
        from modiste.prepare.render_template import TemplateRenderer

        return TemplateRenderer(base_dir)
    raise InvalidInput(
        f"{base_dir} holds no tokenizer: expected tekken.json, tokenizer.model.vN or "
        "tokenizer.json. Copy it from the model's repository",
        code="tokenizer_missing",
    )


def mistral_tokenizer_file(base_dir: Path) -> Path | None:
    """Tekken before SentencePiece, newest version first.

    A `tokenizer.model` without a version is Mistral's v1 only next to a `params.json`: many other
    families keep a file of that name.
    """
    tekken = base_dir / "tekken.json"
    if tekken.is_file():
        return tekken
    versioned = [p for p in base_dir.glob("*.model.v*") if p.is_file() and _version(p)]
    if versioned:
        return max(versioned, key=_version)
    unversioned = base_dir / "tokenizer.model"
    is_mistral = (base_dir / "params.json").is_file()
    has_hf = (base_dir / "tokenizer.json").is_file()
    return unversioned if unversioned.is_file() and is_mistral and not has_hf else None


def _version(path: Path) -> int:
    digits = path.name.rpartition(".v")[2].partition("m")[0]
    return int(digits) if digits.isdigit() else 0
