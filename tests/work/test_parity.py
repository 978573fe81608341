"""Parity: equal passes, and every way of being different is named with row and token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from modiste import settings as settings_module
from modiste.errors import BadRequest, Busy, LeaseLost, ParityFailed, Unavailable
from modiste.prepare import render
from modiste.prepare.formats.chat import parse_row
from modiste.types import Parity
from modiste.work import parity

TINY = Path(settings_module.__file__).parent / "bases" / "tiny"
CHATS = [
    {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]},
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "1", "weight": 0},
            {"role": "user", "content": "Two?"},
            {"role": "assistant", "content": "2"},
        ]
    },
    {"text": "Once upon a time."},
]


class Engine:
    """Scores as it is told; remembers what it was asked."""

    def __init__(self) -> None:
        self.scores: dict[tuple[int, ...], list[float]] = {}
        self.asked: list[tuple[Any, ...]] = []
        self.errors: list[Exception] = []
        self.closed = False
        self.takes_s = 0.0
        self.linear = "fp32"

    def __call__(self, process_dir: Path) -> Engine:
        return self

    async def score(self, *asked: Any) -> list[float]:
        self.asked.append(asked)
        await asyncio.sleep(self.takes_s)
        if self.errors:
            raise self.errors.pop(0)
        return self.scores[tuple(asked[3])]

    async def status(self, *, timeout_s: float) -> dict[str, Any]:
        return {"bases": {str(TINY): {"linear": self.linear, "exact": self.linear == "fp32"}}}

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    monkeypatch.setattr(parity, "EngineStream", engine)
    monkeypatch.setattr(parity, "RETRY_S", 0.01)
    return engine


def rows(engine: Engine, chats: Sequence[Any] = CHATS) -> list[dict[str, Any]]:
    """What a trainer leaves, and an engine that agrees with it."""
    renderer, made = render.load(TINY), []
    for number, chat in enumerate(chats, start=1):
        example = parse_row(chat, file="f", line=number).example
        assert example is not None
        (sample,) = renderer.training_samples(example)
        logprobs = [-float(n) for n in range(1, len(sample.ids))]
        engine.scores[tuple(sample.ids)] = list(logprobs)
        base = [value - 0.5 for value in logprobs]
        values = {"ids": sample.ids, "mask": sample.mask, "logprobs": logprobs}
        made.append({**chat, **values, "base_logprobs": base})
    return made


def check(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> Parity:
    (tmp_path / "parity.json").write_text(json.dumps({"rows": rows}))
    return parity.check(
        tmp_path,
        base_path=TINY,
        adapter_folder=tmp_path / "adapter",
        adapter_version="v1",
        process_dir=tmp_path,
        **{"patience_s": 5.0, **options},
    )


def test_what_is_served_as_it_was_trained_passes(engine: Engine, tmp_path: Path) -> None:
    found = check(tmp_path, rows(engine))
    assert found.passed
    assert (found.n_rows, found.n_tokens) == (3, sum(len(s) for s in engine.scores.values()))
    assert (found.max_abs_logprob_diff, found.tolerance) == (0.0, 1e-3)
    assert found.base_gap == pytest.approx(0.5)
    assert "Served as trained: 3 rows" in found.message
    assert {asked[:3] for asked in engine.asked} == {(str(TINY), str(tmp_path / "adapter"), "v1")}
    assert engine.closed


def test_rounding_within_the_tolerance_passes_and_is_reported(
    engine: Engine, tmp_path: Path
) -> None:
    made = rows(engine)
    engine.scores[tuple(made[0]["ids"])][2] += 9e-4
    found = check(tmp_path, made)
    assert found.max_abs_logprob_diff == pytest.approx(9e-4, rel=1e-6)
    assert found.mean_abs_logprob_diff == pytest.approx(9e-4 / found.n_tokens, rel=1e-6)


@pytest.mark.parametrize("difference", [2e-3, -2e-3, float("nan")])
def test_other_logprobs_fail_and_say_where_they_part(
    engine: Engine, tmp_path: Path, difference: float
) -> None:
    made = rows(engine)
    scores = engine.scores[tuple(made[1]["ids"])]
    scores[3] += difference
    scores[5] += 1.0
    with pytest.raises(ParityFailed) as told:
        check(tmp_path, made)
    assert "row 2: at token 4" in told.value.message
    assert "-4.00000 in training" in told.value.message
    assert "token 6" not in told.value.message, "the first difference is the one that counts"
    assert "no model was published" in told.value.message


@pytest.mark.parametrize(("linear", "moved"), [("bf16", 0.008), ("int8", 0.04)])
def test_rounded_weights_are_held_to_their_own_tolerance(
    engine: Engine, tmp_path: Path, linear: str, moved: float
) -> None:
    made = rows(engine)
    for scores in engine.scores.values():
        scores[:] = [value + moved for value in scores]
    with pytest.raises(ParityFailed):
        check(tmp_path, made)
    engine.linear = linear
    assert check(tmp_path, made).tolerance == parity.ROUNDED[linear].largest
    for scores in engine.scores.values():
        scores[:] = [value + moved for value in scores]
    with pytest.raises(ParityFailed, match="apart on average"):
        check(tmp_path, made)


def test_rounding_that_hides_a_tenth_of_what_was_learned_fails(
    engine: Engine, tmp_path: Path
) -> None:
    made = rows(engine)
    engine.linear = "int8"
    for row in made:
        row["base_logprobs"] = [value - 0.1 for value in row["logprobs"]]
    for scores in engine.scores.values():
        scores[:] = [value + 0.011 for value in scores]
    with pytest.raises(ParityFailed, match=r"the adapter moves them by 0\.1"):
        check(tmp_path, made)


def test_a_prompt_of_other_tokens_fails_before_anything_is_scored(
    engine: Engine, tmp_path: Path
) -> None:
    made = rows(engine)
    made[0]["ids"] = [*made[0]["ids"]]
    made[0]["ids"][2] += 1
    with pytest.raises(
        ParityFailed, match=r"row 1: at token 2 training has .*the endpoint's prompt"
    ):
        check(tmp_path, made)
    assert engine.asked == []


def test_an_answer_behind_the_prompt_of_no_turn_is_found(engine: Engine, tmp_path: Path) -> None:
    """The mask begins one token early: that token would never be generated."""
    made = rows(engine)
    start = made[0]["mask"].index(True)
    made[0]["mask"][start - 1] = True
    with pytest.raises(ParityFailed, match="row 1: at token"):
        check(tmp_path, made)


def test_a_row_cut_short_is_compared_as_far_as_it_goes(engine: Engine, tmp_path: Path) -> None:
    long = {"messages": [{"role": "user", "content": "word " * 40}, CHATS[0]["messages"][1]]}  # type: ignore[index]
    (made,) = rows(engine, [long])
    cut = {**made, **{name: made[name][:20] for name in ("ids", "mask")}}
    cut |= {name: made[name][:19] for name in ("logprobs", "base_logprobs")}
    engine.scores[tuple(cut["ids"])] = list(cut["logprobs"])
    assert check(tmp_path, [cut]).n_tokens == 19
    cut["ids"][7] += 1
    with pytest.raises(ParityFailed, match="at token 7"):
        check(tmp_path, [cut])


def test_a_missing_score_is_a_difference(engine: Engine, tmp_path: Path) -> None:
    made = rows(engine)
    engine.scores[tuple(made[0]["ids"])].pop()
    with pytest.raises(ParityFailed, match="logprobs from training"):
        check(tmp_path, made)


def test_an_engine_that_restarts_is_waited_for(engine: Engine, tmp_path: Path) -> None:
    engine.errors = [Unavailable("starting"), Busy("full")]
    assert check(tmp_path, rows(engine)).passed


def test_an_engine_that_stays_away_ends_the_wait_and_keeps_the_adapter(
    engine: Engine, tmp_path: Path
) -> None:
    made = rows(engine)
    engine.errors = [Unavailable("no engine listens.") for _ in range(1000)]
    with pytest.raises(ParityFailed, match=r"not there.*no engine listens.*adapter is kept") as t:
        check(tmp_path, made, patience_s=0.2)
    assert t.value.error_code == "parity_unchecked"
    assert engine.closed


def test_an_engine_that_never_answers_ends_the_wait(engine: Engine, tmp_path: Path) -> None:
    engine.takes_s = 600
    with pytest.raises(ParityFailed, match="did not answer within") as told:
        check(tmp_path, rows(engine), answer_timeout_s=0.2)
    assert told.value.error_code == "parity_unchecked"


def test_a_cancelled_job_does_not_wait_for_the_answer(engine: Engine, tmp_path: Path) -> None:
    engine.takes_s = 600

    def gone() -> None:
        if engine.asked:
            raise LeaseLost("cancelled")

    with pytest.raises(LeaseLost):
        check(tmp_path, rows(engine), still_wanted=gone)


def test_a_job_that_is_gone_is_not_waited_for(engine: Engine, tmp_path: Path) -> None:
    engine.errors = [Unavailable("starting") for _ in range(1000)]

    def gone() -> None:
        if len(engine.asked) == 2:
            raise LeaseLost("somebody else has it")

    with pytest.raises(LeaseLost):
        check(tmp_path, rows(engine), still_wanted=gone)


@pytest.mark.parametrize(
    "content",
    ["", "{}", '{"rows": []}', '{"rows": [{"messages": []}]}', '{"rows": [{"text": "a"}]}'],
)
def test_what_cannot_be_compared_proves_nothing(
    engine: Engine, tmp_path: Path, content: str
) -> None:
    (tmp_path / "parity.json").write_text(content)
    with pytest.raises(ParityFailed):
        parity.read_rows(tmp_path / "parity.json")


class There(Engine):
    """The server that answers for the base in place of the built-in engine."""

    async def score(self, *asked: Any) -> list[float]:
        self.asked.append(asked)
        if self.errors:
            raise self.errors.pop(0)
        return self.scores[tuple(asked[2])]


@pytest.fixture
def there(tmp_path: Path) -> There:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"r": 4}')
    return There()


def shifted(there: There, by: float, *, gap: float = 0.5) -> list[dict[str, Any]]:
    """Rows that the server computes with this much rounding, and training changed by `gap`."""
    made = rows(there)
    for scores in there.scores.values():
        scores[:] = [value + by for value in scores]
    for row in made:
        row["base_logprobs"] = [value - gap for value in row["logprobs"]]
    return made


def test_another_servers_rounding_passes_under_bounds_for_bf16(
    there: There, tmp_path: Path
) -> None:
    found = check(tmp_path, shifted(there, 0.008), elsewhere=lambda: there)
    assert (found.passed, found.served, found.tolerance) == (True, True, 0.05)
    assert found.mean_abs_logprob_diff == pytest.approx(0.008)
    assert {asked[:2] for asked in there.asked} == {(str(tmp_path / "adapter"), "v1")}
    assert there.closed


@pytest.mark.parametrize(
    ("by", "gap", "says"),
    [
        (0.06, 5.0, "tolerance 0.05"),
        (0.02, 5.0, "0.02 apart on average, 0.01 is allowed"),
        (0.008, 0.05, "0.005 is allowed where the adapter moves them by 0.05"),
        (float("nan"), 0.5, "nan"),
    ],
)
def test_another_server_that_computes_something_else_fails(
    there: There, tmp_path: Path, by: float, gap: float, says: str
) -> None:
    with pytest.raises(ParityFailed) as told:
        check(tmp_path, shifted(there, by, gap=gap), elsewhere=lambda: there)
    assert says in told.value.message


def test_a_gap_that_rounding_hides_decides_nothing(there: There, tmp_path: Path) -> None:
    assert check(tmp_path, shifted(there, 0.0029, gap=0.01), elsewhere=lambda: there).passed


def test_a_server_that_refuses_leaves_the_model_unchecked(there: There, tmp_path: Path) -> None:
    made = rows(there)
    there.errors = [BadRequest("no room for this adapter's rank")]
    with pytest.raises(ParityFailed, match="no room for this adapter") as told:
        check(tmp_path, made, elsewhere=lambda: there)
    assert told.value.error_code == "parity_unchecked"


def test_an_adapter_that_the_server_cannot_compute_is_read_afresh(
    there: There, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = rows(there)
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"use_dora": true}')
    own = [row["logprobs"] for row in made]
    monkeypatch.setattr(parity.reread, "logprobs", lambda *args, **options: own)
    found = check(tmp_path, made, elsewhere=lambda: there)
    assert (found.served, found.tolerance, there.asked) == (False, 1e-3, [])
    assert "DoRA" in found.message
