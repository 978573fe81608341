"""Files to samples for the trainer, and the rows that prove the served model is the trained one.

The files were validated before; what is found wrong here all the same (a file that changed, a row
too long for its sequence) ends the run, naming file and line. Lines that validation decided to skip
are skipped. No torch here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from modiste.errors import InvalidInput, ModisteError, TuningFailed
from modiste.nn.greedy import Likeliest, continued
from modiste.prepare import fim as filling
from modiste.prepare.fim import Fim
from modiste.prepare.formats.read import read
from modiste.prepare.over_length import OverLength, cut
from modiste.prepare.pairs import conversations
from modiste.prepare.render import Rendered, Renderer, ahead
from modiste.tune.mixture import Conversation, Samples
from modiste.types import Example, Message, SampleType, ToolCall

PARITY_ROWS = 8
PARITY_TOKENS = 128
GREEDY_ROWS = 4
GREEDY_TOKENS = 16
REJECTED = "rejected"


class DataFile(NamedTuple):
    """One entry of job.json."""

    path: Path
    filename: str
    weight: float
    skip_lines: frozenset[int]


class Sample(NamedTuple):
    example: Example
    """Of a pair: the conversation with this answer."""
    rendered: Rendered
    answer: str = ""
    """`chosen`, which is followed by its `rejected`; empty for rows that are no pairs."""
    filename: str = ""


class Trained(Protocol):
    """What training computes."""

    def logprobs(self, ids: Sequence[int], *, adapted: bool) -> list[float]: ...

    def likeliest(self, ids: Sequence[int]) -> Likeliest: ...


def data_file(entry: Mapping[str, Any], skip_lines: Mapping[str, Collection[int]]) -> DataFile:
    path = entry["path"]
    return DataFile(
        Path(path),
        entry.get("filename") or Path(path).name,
        float(entry.get("weight", 1.0)),
        frozenset(skip_lines.get(path, ())),
    )


def read_samples(
    file: DataFile,
    renderer: Renderer,
    *,
    max_length: int,
    over_length: OverLength = OverLength.REFUSE,
    fim: Fim | None = None,
) -> Iterator[Sample]:
    """The sequences to train on, in file order; long conversations cut as the checks counted them.

    Args:
        fim: which texts are filled in the middle; None leaves them as they are.

    Raises:
        TuningFailed: the file cannot be read, or a line that should be good is not.
    """
    for example in ahead(examples(file), renderer):
        where = f"{file.filename} line {example.line}"
        try:
            samples = _samples(example, renderer, max_length, over_length, fim)
        except ModisteError as error:
            raise TuningFailed(f"{where}: {error.message}", code="invalid_data") from error
        for sample in samples:
            rendered = sample.rendered
            if rendered.n_tokens > max_length:
                raise TuningFailed(
                    f"{where}: the row takes {rendered.n_tokens} tokens, a sequence has room for "
                    f"{max_length}; shorten it, leave it out or raise seq_len",
                    code="sample_too_long",
                )
            yield sample._replace(filename=file.filename)


def _samples(
    example: Example,
    renderer: Renderer,
    max_length: int,
    over_length: OverLength,
    fim: Fim | None,
) -> list[Sample]:
    if example.sample_type is SampleType.PREFERENCE:
        return [_answered(name, chat, renderer) for name, chat in conversations(example)]
    if example.sample_type is SampleType.PRETRAIN and fim is not None and fim.ratio:
        rendered = filling.text_samples(example, renderer, fim, max_length=max_length)
    else:
        rendered = cut(example, renderer, max_length=max_length, over_length=over_length).samples
    return [Sample(example, one) for one in rendered]


def _answered(name: str, chat: Example, renderer: Renderer) -> Sample:
    """One conversation of a pair; an answer of weight 0 is there, and untrained."""
    found = renderer.training_samples(chat) or [renderer.training(chat)]
    if len(found) > 1:
        raise InvalidInput(f"{name}: the answer takes several turns, which are trained apart")
    return Sample(chat, found[0], name)


def tokenised(samples: Iterable[Sample]) -> Samples:
    """As the recipe takes them; pairs together, if the first is of one."""
    waiting = iter(samples)
    first = next(waiting, None)
    if first is None:
        return Samples()
    everything = chain([first], waiting)
    origins: list[tuple[str, int]] = []

    def noted(sample: Sample) -> Conversation:
        if sample.answer != REJECTED:
            origins.append((sample.filename, sample.example.line))
        return Conversation(sample.rendered.ids, sample.rendered.mask)

    if not first.answer:
        return Samples(map(noted, everything), origins=origins)
    return Samples.of_pairs(
        (
            (noted(chosen), noted(rejected))
            for chosen, rejected in zip(everything, everything, strict=True)
        ),
        origins=origins,
    )


def parity_rows(
    samples: Iterator[Sample], trained: Trained, *, longest: int
) -> list[dict[str, Any]]:
    """Up to PARITY_ROWS rows of at most PARITY_TOKENS tokens, with what training computes there.

    Rows whose answer lies within the first PARITY_TOKENS come before longer ones, which are cut.
    The first GREEDY_ROWS have the answer that training finds most likely, too.

    Args:
        longest: tokens that the base reads at most.
    """
    within: list[Sample] = []
    beyond: list[Sample] = []
    for sample in samples:
        fits = len(sample.rendered.ids) >= 2 and True in sample.rendered.mask[:PARITY_TOKENS]
        (within if fits else beyond).append(sample)
        if len(within) == PARITY_ROWS:
            break
        del beyond[PARITY_ROWS:]
    chosen = [s for s in (within + beyond)[:PARITY_ROWS] if len(s.rendered.ids) >= 2]
    rows = [_parity_row(sample, trained) for sample in chosen]
    for row in rows[:GREEDY_ROWS]:
        row["greedy"] = _greedy(row["ids"], row["mask"], trained, longest=longest)
    return rows


def chat_row(example: Example) -> dict[str, Any]:
    """The example as the training row it could have been read from."""
    if example.text is not None:
        return {"text": example.text}
    row: dict[str, Any] = {"messages": [_message(message) for message in example.messages]}
    if example.tools:
        row["tools"] = [dict(tool) for tool in example.tools]
    return row


def examples(file: DataFile, *, labels: bool = False) -> Iterator[Example]:
    """The rows that are trained, those of classifiers where `labels` are what is learned.

    Raises:
        TuningFailed: as `read_samples`.
    """
    if not file.path.is_file():
        raise TuningFailed(
            f"{file.filename}: {file.path} cannot be read: no such file; upload the file again",
            code="file_unreadable",
        )
    for found in read(file.path, filename=file.filename).rows:
        if found.line in file.skip_lines:
            continue
        example = found.row.example
        if example is None:
            raise TuningFailed(
                f"{found.row.problems[0]}; the file was valid when the job was, upload it again",
                code="invalid_data",
            )
        if (example.sample_type is SampleType.CLASSIFIER) is not labels:
            wanted = "rows with labels" if labels else "chats, texts and pairs"
            raise TuningFailed(
                f"{file.filename} line {example.line}: the row is a {example.sample_type} row, and "
                f"the job trains {wanted}",
                code="kind_not_trained",
            )
        yield example


def _greedy(
    ids: Sequence[int], mask: Sequence[bool], trained: Trained, *, longest: int
) -> dict[str, Any] | None:
    """Behind the prompt of the row's first answer; a text is cut in the middle. None where the base
    reads no more than the prompt."""
    first = next((i for i, on in enumerate(mask) if on), len(ids))
    n_prompt = first if first > 1 else len(ids) // 2
    n_tokens = min(GREEDY_TOKENS, longest - n_prompt)
    if n_tokens <= 0:
        return None
    guess = ids[n_prompt : n_prompt + n_tokens]
    found = continued(trained.likeliest, ids[:n_prompt], n_tokens=n_tokens, guess=guess)
    return {"n_prompt": n_prompt, "ids": found.ids, "margins": found.margins}


def _parity_row(sample: Sample, trained: Trained) -> dict[str, Any]:
    ids = list(sample.rendered.ids)[:PARITY_TOKENS]
    return {
        **chat_row(sample.example),
        "ids": ids,
        "mask": list(sample.rendered.mask)[:PARITY_TOKENS],
        "logprobs": trained.logprobs(ids, adapted=True),
        "base_logprobs": trained.logprobs(ids, adapted=False),
    }


def _message(message: Message) -> dict[str, Any]:
    written: dict[str, Any] = {"role": str(message.role)}
    optional: dict[str, Any] = {
        "content": message.content,
        "tool_calls": [_call(call) for call in message.tool_calls] or None,
        "tool_call_id": message.tool_call_id,
        "name": message.name,
        "weight": message.weight,
    }
    return written | {key: value for key, value in optional.items() if value is not None}


def _call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    identity = {} if call.id is None else {"id": call.id}
    return {**identity, "type": "function", "function": function}
