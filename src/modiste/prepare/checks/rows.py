"""One row after the other: everything that is wrong with each, and what it comes to in tokens.

The rules of a conversation are in `conversation.py`, those of tools in `tools.py`, what may be
remarked on a good row in `prepare/inspect`. Here they meet, in the order in which a row is lost:
it cannot be read, it is of another kind than its file, it breaks a rule, it cannot be rendered, it
is too long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from modiste.errors import ModisteError
from modiste.prepare import classified
from modiste.prepare.checks import tools
from modiste.prepare.checks.advice import ADVICE, value_at
from modiste.prepare.checks.repeats import Seen
from modiste.prepare.checks.report import Tally
from modiste.prepare.conversation import Rules, Use, is_plain, violations
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.places import Places
from modiste.prepare.formats.read import Read
from modiste.prepare.formats.row import Row
from modiste.prepare.inspect.all import Ledger
from modiste.prepare.over_length import OverLength, cut
from modiste.prepare.pairs import conversations
from modiste.prepare.render import Rendered, Renderer
from modiste.prepare.statistics import Statistics
from modiste.prepare.turns import turns
from modiste.types import Example, Message, Problem, Role, SampleType, Severity

BYTES_AT_ONCE = 1 << 18
"""Of rows that are tokenised together."""


@dataclass(frozen=True)
class Wants:
    """What a check is asked for; the same for every row of a file."""

    filename: str
    max_problems: int
    renderer: Renderer | None = None
    seq_len: int | None = None
    over_length: OverLength = OverLength.REFUSE
    format: Format | None = None
    columns: Columns | None = None
    inspect: bool = True
    near: bool = True
    special_tokens: tuple[str, ...] = ()

    @cached_property
    def rules(self) -> Rules:
        return self.renderer.rules if self.renderer else Rules()

    def tally(self, sample_type: SampleType | None = None) -> Tally:
        return Tally(
            self.filename,
            self.max_problems,
            sample_type=sample_type,
            ledger=Ledger(special_tokens=self.special_tokens) if self.inspect else None,
            seen=Seen(near=self.near),
            statistics=Statistics(seq_len=self.seq_len),
        )


def check_rows(rows: Iterable[Read], wants: Wants, tally: Tally) -> None:
    """Check rows in order, into the tally."""
    for batch in _batches(rows):
        if wants.renderer is not None:
            chats = [row.example for _, _, _, row in batch if row.example]
            wants.renderer.read_ahead(chats)
        for read in batch:
            _check_row(read, wants, tally)
    tally.places = None


def _batches(rows: Iterable[Read]) -> Iterator[list[Read]]:
    """Rows that are looked at together. A bad one ends its batch, so that it is counted at once."""
    batch: list[Read] = []
    n_bytes = 0
    for read in rows:
        batch.append(read)
        n_bytes += len(read.raw)
        if n_bytes >= BYTES_AT_ONCE or read.row.example is None:
            yield batch
            batch, n_bytes = [], 0
    yield batch


def _check_row(read: Read, wants: Wants, tally: Tally) -> None:
    line, raw, value, row = read
    example = row.example
    tally.places = row.places
    if example is None:
        for problem in row.problems:
            tally.say(problem)
        return
    if not _is_good(example, value, wants.rules, tally):
        return
    found = _render(example, wants, tally)
    if found is not _BAD:
        tally.n_examples += 1
        tally.statistics.add(example, found.samples)
        _remark(line, raw, row, example, tally)


def _is_good(example: Example, value: object, rules: Rules, tally: Tally) -> bool:
    tally.sample_type = tally.sample_type or example.sample_type
    if example.sample_type is not tally.sample_type:
        text = f"the row is {example.sample_type}, the rows before it are {tally.sample_type}"
        hint = "keep rows of different kinds in separate files"
        tally.error(Problem(tally.filename, example.line, "", "sample_type_mixed", text, hint=hint))
        return False
    is_chat = example.sample_type is SampleType.INSTRUCT
    if is_chat and not example.tools and is_plain(example.messages, Use.TRAINING):
        return True
    good = True
    for path, code, message in _broken_rules(example, rules):
        good = False
        text, shown = f"{path}: {message}", _value_at(value, path, tally.places)
        problem = Problem(
            tally.filename, example.line, path, code, text, value=shown, hint=ADVICE.get(code)
        )
        tally.error(problem)
    if not example.messages:
        return good
    for found in tools.findings(example):
        problem = Problem(tally.filename, example.line, *found)
        if problem.code not in _BY_ID or not rules.results_name_their_call:
            good &= found.severity is not Severity.ERROR
            tally.say(problem)
    return good


def _value_at(value: object, path: str, places: Places | None) -> str | None:
    if places is None:
        return value_at(value, path)
    return value_at(value, places.of(path)) if places.is_short(path) else None


_BY_ID = ("tool_result_unknown", "tool_call_duplicate")
"""Told by the rules of the formats that ask for it."""


class _Broken(NamedTuple):
    path: str
    code: str
    message: str


def _broken_rules(example: Example, rules: Rules) -> Iterator[_Broken]:
    """Of a chat; of both chats that a preference pair stands for."""
    if example.sample_type is SampleType.INSTRUCT:
        chats: list[tuple[str, tuple[Message, ...]]] = [("", ())]
    elif example.sample_type is SampleType.PREFERENCE:
        chats = [("chosen", example.chosen), ("rejected", example.rejected)]
    else:
        return
    told: set[tuple[str, str]] = set()
    n_asked = len(example.messages)
    for name, answer in chats:
        messages = (*example.messages, *answer)
        for found in violations(messages, tools=example.tools, rules=rules, use=Use.TRAINING):
            path = found.path
            if found.at is not None and found.at >= n_asked:
                path = f"{name}[{found.at - n_asked}]" + (f".{found.field}" if found.field else "")
            if (path, found.code) not in told:
                told.add((path, found.code))
                yield _Broken(path, found.code, found.message)


class _Found(NamedTuple):
    samples: list[Rendered] | None
    """None where no tokens are counted."""


_BAD = _Found(None)


def _render(example: Example, wants: Wants, tally: Tally) -> _Found:
    """Count the tokens of a row; `_BAD` when it cannot be trained on."""
    renderer, seq_len = wants.renderer, wants.seq_len
    if example.sample_type is SampleType.CLASSIFIER:
        return _read_by_a_classifier(example, wants, tally)
    if renderer is None:
        tally.n_trainable += _is_trainable(example, tally)
        return _Found(None)
    samples: list[Rendered] = []
    longest = n_pieces = 0
    answer = ""
    try:
        for name, chat in conversations(example):
            answer = name
            # Pairs are never cut: what is left of the question would not be the same for both.
            wish = OverLength.REFUSE if name else wants.over_length
            made = cut(chat, renderer, max_length=seq_len, over_length=wish)
            if name and len(made.samples) > 1:
                text = f"{name}: the answer takes several turns, which this format trains apart"
                return _refused(example, "answer_not_one_turn", text, tally)
            samples += made.samples
            longest, n_pieces = max(longest, made.longest), max(n_pieces, made.n_pieces)
    except ModisteError as error:
        text = _at_places(error.message, answer, tally.places)
        return _refused(example, error.error_code, text, tally)
    except (ValueError, AssertionError, RecursionError) as error:
        # Of the encoders underneath; a file can hold anything, a check has to outlive it.
        text = f"the row cannot be tokenised: {error}"
        return _refused(example, "not_renderable", text, tally)
    if seq_len is not None and longest > seq_len:
        return _too_long(example, longest, seq_len, wants.over_length, tally)
    _count(example, samples, longest, n_pieces, tally)
    return _Found(samples)


def _read_by_a_classifier(example: Example, wants: Wants, tally: Tally) -> _Found:
    """It is never cut: labels are of the whole text."""
    if wants.renderer is None:
        tally.n_trainable += 1
        return _Found(None)
    try:
        sample = classified.rendered(example, wants.renderer)
    except ModisteError as error:
        return _refused(example, error.error_code, error.message, tally)
    except (ValueError, AssertionError, RecursionError) as error:  # as in _render
        text = f"the row cannot be tokenised: {error}"
        return _refused(example, "not_renderable", text, tally)
    if wants.seq_len is not None and sample.n_tokens > wants.seq_len:
        return _too_long(example, sample.n_tokens, wants.seq_len, OverLength.REFUSE, tally)
    tally.n_trainable += 1
    tally.n_samples += 1
    tally.n_tokens += sample.n_tokens
    tally.longest_sample = max(tally.longest_sample, sample.n_tokens)
    return _Found([sample])


def _at_places(said: str, answer: str, places: Places | None) -> str:
    return said if places is None else places.answer(answer).opening(said)


def _count(
    example: Example, samples: list[Rendered], longest: int, n_pieces: int, tally: Tally
) -> None:
    tally.n_samples += len(samples)
    tally.n_tokens += sum([sample.n_tokens for sample in samples])
    n_trained = sum([sample.n_trained for sample in samples])
    tally.n_trained_tokens += n_trained
    tally.n_trainable += n_trained > 0
    tally.longest_sample = max(tally.longest_sample, longest)
    if not n_trained:
        tally.warn(example.line, "", "no_trained_tokens", "no answer of the row is trained")
    if example.sample_type is SampleType.PRETRAIN and len(samples) > 1:
        text = f"the text is longer than a sequence and is trained as {len(samples)} pieces"
        tally.warn(example.line, "", "text_cut", text)
    if n_pieces > 1:
        tally.n_split += 1
        text = f"the row is too long for one sequence and is trained as {n_pieces} conversations, "
        text += "cut between turns; each knows only the system prompt of what went before"
        tally.warn(example.line, "", "split", text)


def _too_long(
    example: Example, longest: int, seq_len: int, wish: OverLength, tally: Tally
) -> _Found:
    text = f"the row takes {longest:,} tokens, more than the {seq_len:,} of the sequence length"
    hint = "shorten it or raise the sequence length"
    if wish is OverLength.SPLIT and example.sample_type is SampleType.PREFERENCE:
        text += ", and pairs are not cut: both answers need the same question"
    elif wish is OverLength.SPLIT:
        text += ", and one question with its answer is too long by itself"
    problem = Problem(tally.filename, example.line, "", "too_long", text, str(longest), hint)
    tally.error(problem)
    tally.statistics.refuse(longest)
    return _BAD


def _refused(example: Example, code: str, text: str, tally: Tally) -> _Found:
    tally.error(Problem(tally.filename, example.line, "", code, text, hint=ADVICE.get(code)))
    return _BAD


def _is_trainable(example: Example, tally: Tally) -> bool:
    """Told from the weights alone, where there is no tokenizer."""
    if example.sample_type is not SampleType.INSTRUCT or _all_wanted(example):
        return True
    if any(turn.wanted and turn.first > 0 for turn in turns(example.messages)):
        return True
    tally.warn(example.line, "", "no_trained_tokens", "no answer of the row is trained")
    return False


def _remark(line: int, raw: bytes, row: Row, example: Example, tally: Tally) -> None:
    """What a good row may still be told."""
    for key in row.ignored:
        tally.warn(line, key, "key_ignored", f"the key {key} is not read")
    for what in row.lost:
        tally.warn(line, "", "information_lost", what)
    if example.sample_type is SampleType.INSTRUCT:
        if not _all_wanted(example):
            _remark_turns(example, tally)
        _remark_messages(example, tally)
    elif example.sample_type is SampleType.CLASSIFIER:
        tally.label_places = tally.label_places or row.places
    if tally.ledger is not None:
        for remark in tally.ledger.add(example):
            tally.say(remark.problem(tally.filename, line))
    if tally.seen is not None:
        tally.seen.add(line, raw, example)


def _remark_messages(example: Example, tally: Tally) -> None:
    """What chat formats take and people seldom mean."""
    n_system = 0
    for at, message in enumerate(example.messages):
        role = message.role
        if role is Role.SYSTEM:
            n_system += 1
            if n_system == 2:
                text = f"messages[{at}] is a second system message; formats without a place for it "
                text += "join both"
                tally.warn(example.line, f"messages[{at}].role", "system_repeated", text)
        if not message.content and (role is Role.USER or role is Role.SYSTEM):
            where = f"messages[{at}].content"
            tally.warn(example.line, where, "content_empty", f"{where} is empty", _EMPTY)


_EMPTY = "`--fix` removes empty messages"


def _all_wanted(example: Example) -> bool:
    """Whether every answer is asked for and wanted; most rows are like this."""
    messages = example.messages
    return messages[0].role is not Role.ASSISTANT and all(m.weight is None for m in messages)


def _remark_turns(example: Example, tally: Tally) -> None:
    for turn in turns(example.messages):
        weights = {m.weight != 0 for m in example.messages[turn.first : turn.end]}
        where = f"messages[{turn.first}]"
        if turn.first == 0 and turn.wanted:
            text = f"{where} opens the conversation: nobody can ask for it, it is not trained"
            tally.warn(example.line, where, "turn_not_trained", text)
        elif len(weights) > 1:
            text = f"{where} and the assistant messages right after it differ in weight: none of "
            text += "them is trained, because they are served as one answer"
            tally.warn(example.line, where, "turn_not_trained", text)
