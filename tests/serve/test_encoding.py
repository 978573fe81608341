"""Texts for encoders in the engine: batched, ended one by one, refused by name."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modiste.nn.encoder import Encoder
from modiste.serve import encoding
from modiste.serve.encoding import Encoding
from modiste.serve.scheduler import Key
from modiste.serve.sequence import Embed, Embedded, Event, Failed, FailureCode, Generate


class Heard(Encoding):
    """With what it told, and a way to run it to its end."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.told: dict[int, Event] = {}
        super().__init__(
            memory_bytes=2**30,
            pool=pool,
            emit=lambda key, event: self.told.update({key.number: event}),
            wake=lambda: None,
        )

    def run(self) -> int:
        """How many batches it took."""
        n = 0
        while self.keys:
            n += self.step()
        return n


@pytest.fixture
def texts() -> Iterator[Heard]:
    with ThreadPoolExecutor(1) as pool:
        yield Heard(pool)


def test_texts_of_many_lengths_come_back_as_they_are_alone(
    texts: Heard, sentence_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "STEP_TOKENS", 32)
    ids = [tuple([2, *range(4, 4 + n), 3]) for n in (1, 20, 3, 2, 9, 9, 1)]
    for number, each in enumerate(ids):
        texts.add(Key(1, number), Embed(str(number), str(sentence_base), each))
    assert texts.run() > 2
    alone = Encoder(sentence_base)
    for number, each in enumerate(ids):
        event = texts.told[number]
        assert isinstance(event, Embedded)
        assert event.vector == pytest.approx(alone([each])[0].tolist(), abs=1e-6)


def test_what_cannot_be_is_told_and_the_rest_goes_on(
    texts: Heard, sentence_base: Path, tmp_path: Path
) -> None:
    texts.add(Key(1, 1), Embed("long", str(sentence_base), (2,) * 25))
    texts.add(Key(1, 2), Embed("good", str(sentence_base), (2, 3)))
    texts.add(Key(1, 3), Embed("gone", str(tmp_path), (2, 3)))
    texts.add(Key(1, 4), Embed("strange", str(sentence_base), (2, 9999)))
    texts.run()
    codes = {n: e.code for n, e in texts.told.items() if isinstance(e, Failed)}
    assert codes[1] == FailureCode.TOO_LONG
    assert codes[3] == FailureCode.BASE
    assert codes[4] == FailureCode.INTERNAL
    texts.add(Key(1, 5), Embed("good", str(sentence_base), (2, 3)))
    texts.run()
    assert isinstance(texts.told[5], Embedded)


def test_an_aborted_text_is_not_computed_and_those_who_wait_are_told_of_the_end(
    texts: Heard, sentence_base: Path
) -> None:
    for number in range(3):
        texts.add(Key(1, number), Embed("x", str(sentence_base), (2, 3)))
    texts.abort(Key(1, 1))
    texts.fail_all("we leave", retry_after_s=3.0)
    assert {n: type(event) for n, event in texts.told.items()} == {0: Failed, 2: Failed}


def test_too_many_are_refused_with_when_to_come_back(
    texts: Heard, sentence_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "MAX_WAITING", 1)
    for number in range(2):
        texts.add(Key(1, number), Embed("x", str(sentence_base), (2, 3)))
    refused = texts.told[1]
    assert isinstance(refused, Failed)
    assert (refused.code, refused.retry_after_s) == (FailureCode.BUSY, encoding.RETRY_S)


def test_only_texts_of_encoders_are_taken(
    texts: Heard, sentence_base: Path, tmp_path: Path
) -> None:
    assert texts.takes(Embed("x", str(sentence_base), (2,)))
    assert not texts.takes(Embed("x", str(tmp_path), (2,)))
    assert not texts.takes(Generate("x", str(sentence_base), (2,)))
