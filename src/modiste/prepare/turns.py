"""Which tokens of a conversation are trained: those that will be asked for in the same words.

A turn is a run of assistant messages. It is trained when no message of it has weight 0 and when
the model, once served, sees exactly the tokens that stand before it in the training sequence:
`prompt(messages before the turn)` must be a prefix of the ids. Where that fails the turn is masked
in this sequence. It fails for

- Mistral's formats up to v11, which move tools (and up to v3 the system prompt) to the last user
  message: earlier turns would be trained without the instructions they get when served;
- Mistral's v2, which drops the tool calls before the last user message;
- chat templates that rewrite earlier turns (removing their reasoning, for example);
- a turn that opens the conversation, which nobody can ask for.

mistral-finetune trains all of these when the row has no tools, and only the last message when it
has. `samples` does neither: it unrolls the conversation into as many sequences as are needed to
train each turn once, behind its own prompt. Rows where nothing moves stay one sequence.

In unrolled samples a trained tool call loses its id if the format writes ids into the text, as in
mistral-finetune: ids are random, and who serves the model makes new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from modiste.errors import InvalidInput
from modiste.prepare.rendered import Rendered
from modiste.types import Message, Role


class Turn(NamedTuple):
    """A run of assistant messages, `messages[first:end]`, and whether its weights ask for it."""

    first: int
    end: int
    wanted: bool


class Writer(NamedTuple):
    """How a renderer writes a checked conversation; both answers are token ids."""

    prompt: Callable[[Sequence[Message]], list[int]]
    """Up to the point where the model takes over."""
    whole: Callable[[Sequence[Message]], list[int]]
    """Ending with a complete assistant turn."""
    stop_ids: frozenset[int]
    writes_call_ids: bool


def turns(messages: Sequence[Message]) -> list[Turn]:
    found: list[Turn] = []
    first = 0
    for index, message in enumerate(messages):
        if message.role is not Role.ASSISTANT:
            first = index + 1
        elif index + 1 == len(messages) or messages[index + 1].role is not Role.ASSISTANT:
            wanted = all(m.weight != 0 for m in messages[first : index + 1])
            found.append(Turn(first, index + 1, wanted))
    return found


def sequence(messages: Sequence[Message], ids: list[int], writer: Writer) -> Rendered:
    """The conversation as one sequence, turns that would be served differently masked.

    Args:
        ids: the whole conversation as the renderer wrote it.
    """
    rendered = Rendered(ids, [False] * len(ids))
    for turn in turns(messages):
        if turn.wanted and turn.first > 0:
            _train(rendered, messages, turn, writer)
    return rendered


def samples(messages: Sequence[Message], writer: Writer) -> list[Rendered]:
    """As many sequences as it takes to train every wanted turn once, longest first.

    Raises:
        InvalidInput: the renderer cannot write an answer behind the prompt that asks for it.
    """
    served = [replace(m, weight=None) for m in messages]
    """Weights are not known when a conversation is served; they must not change its tokens."""
    left = [turn for turn in turns(messages) if turn.wanted and turn.first > 0]
    found: list[Rendered] = []
    while left:
        shown = served[: left[-1].end]
        if writer.writes_call_ids:
            shown[-1] = _without_call_ids(shown[-1])
        ids = writer.whole(shown)
        rendered = Rendered(ids, [False] * len(ids))
        trained = [turn for turn in left if _may_join(turn, left[-1], shown, writer)]
        trained = [turn for turn in trained if _train(rendered, shown, turn, writer)]
        if left[-1] not in trained:
            raise InvalidInput(
                f"messages[{left[-1].first}]: the chat format writes this answer differently than "
                "it prompts for it, so it cannot be trained. Use another chat template",
                code="template_not_trainable",
            )
        found.append(rendered)
        left = [turn for turn in left if turn not in trained]
    return found


def text_samples(ids: list[int], *, bos_id: int | None, max_length: int | None) -> list[Rendered]:
    """Plain text: every token but the first is trained. Texts longer than `max_length` are cut.

    Later pieces start with the first token of all texts (untrained), as a served prompt would.
    """
    opening = [] if bos_id is None else [bos_id]
    if max_length is None or len(ids) <= max_length:
        return [_all_trained(ids)] if len(ids) > 1 else []
    pieces, rest = [ids[:max_length]], ids[max_length:]
    step = max(1, max_length - len(opening))
    pieces += [opening + rest[at : at + step] for at in range(0, len(rest), step)]
    return [_all_trained(piece) for piece in pieces if len(piece) > 1]


def _train(rendered: Rendered, messages: Sequence[Message], turn: Turn, writer: Writer) -> bool:
    """Mark the turn's tokens if it stands behind its own prompt; say whether it does."""
    upto = rendered.ids if turn.end == len(messages) else writer.whole(messages[: turn.end])
    prompt = writer.prompt(messages[: turn.first])
    start = len(prompt)
    if rendered.ids[: len(upto)] != upto or upto[:start] != prompt:
        return False
    for at in range(start, len(upto)):
        rendered.mask[at] = True
        if upto[at] in writer.stop_ids:
            return True
    return False if start == len(upto) else _unmark(rendered, start)


def _unmark(rendered: Rendered, start: int) -> bool:
    """An answer without an end token would teach the model never to stop."""
    rendered.mask[start:] = [False] * (len(rendered.mask) - start)
    return False


def _may_join(turn: Turn, last: Turn, messages: Sequence[Message], writer: Writer) -> bool:
    """Whether an earlier turn may be trained in a longer sample: not if it would train call ids."""
    return turn == last or not (
        writer.writes_call_ids and any(m.tool_calls for m in messages[turn.first : turn.end])
    )


def _without_call_ids(message: Message) -> Message:
    return replace(message, tool_calls=tuple(replace(c, id=None) for c in message.tool_calls))


def _all_trained(ids: list[int]) -> Rendered:
    return Rendered(ids, [at > 0 for at in range(len(ids))])
