"""Parity: equal passes, and every way of being different is named with row and token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest

from modiste import settings as settings_module
from modiste.errors import (
    BadRequest,
    Busy,
    LeaseLost,
    ModisteError,
    ParityFailed,
    Unavailable,
)
from modiste.prepare import render
from modiste.prepare.formats.chat import parse_row
from modiste.serve.sequence import (
    Event,
    Failed,
    FailureCode,
    Finished,
    FinishReason,
    Generate,
    Tokens,
)
from modiste.types import FormStatus, Parity
from modiste.work import closeness, live, parity
from modiste.work.closeness import Answers
from modiste.work.reread import Unread
from modiste.work.trained_rows import Row

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
        self.greedy: dict[tuple[int, ...], list[int]] = {}
        self.refuses: str | None = None

    def __call__(self, process_dir: Path) -> Engine:
        return self

    async def score(self, *asked: Any) -> list[float]:
        self.asked.append(asked)
        await asyncio.sleep(self.takes_s)
        if self.errors:
            raise self.errors.pop(0)
        return self.scores[tuple(asked[3])]

    async def generate(self, request: Generate) -> AsyncGenerator[Event, None]:
        assert (request.sampling.temperature, request.stop_ids) == (0.0, frozenset())
        assert request.sampling.max_tokens == len(self.greedy[request.ids])
        if self.refuses is not None:
            yield Failed(request.id, FailureCode.INTERNAL, self.refuses)
            return
        for token in self.greedy[request.ids]:
            yield Tokens(request.id, (token,))
        yield Finished(request.id, FinishReason.LENGTH)

    async def status(self, *, timeout_s: float) -> dict[str, Any]:
        return {"bases": {str(TINY): {"linear": self.linear, "exact": self.linear == "fp32"}}}

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    monkeypatch.setattr(live, "EngineStream", engine)
    monkeypatch.setattr(live, "RETRY_S", 0.01)
    return engine


class Child:
    """Computes all forms as training did, but for those it is told otherwise about."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.moved: dict[str, float] = {}
        self.unread: dict[str, Unread] = {}

    def answers(
        self, run_dir: Path, rows: Sequence[Row], *, forms: list[str], **_: Any
    ) -> dict[str, Answers | Unread]:
        self.asked.append(forms)
        greedy = [row.greedy.ids for row in rows if row.greedy is not None]
        return {
            form: self.unread.get(form)
            or Answers(
                [[v + self.moved.get(form, 0.0) for v in row.logprobs] for row in rows], greedy
            )
            for form in forms
        }


@pytest.fixture(autouse=True)
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    child = Child()
    monkeypatch.setattr(parity.reread, "answers", child.answers)
    return child


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
        n_prompt = max(2, sample.mask.index(True))
        greedy = {"n_prompt": n_prompt, "ids": [7, 8, 9], "margins": [1.0, 1.0, 1.0]}
        engine.greedy[tuple(sample.ids[:n_prompt])] = [7, 8, 9]
        made.append({**chat, **values, "base_logprobs": base, "greedy": greedy})
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
    assert check(tmp_path, made).tolerance == closeness.ROUNDED[linear].largest
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
    del cut["greedy"]
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
    there: There, tmp_path: Path, child: Child
) -> None:
    made = rows(there)
    (tmp_path / "adapter" / "adapter_config.json").write_text('{"use_dora": true}')
    found = check(tmp_path, made, elsewhere=lambda: there)
    assert (found.served, found.tolerance, there.asked) == (False, 1e-3, [])
    assert child.asked == [["published", "merged"]]
    assert "DoRA" in found.message


def test_the_certificate_tells_loss_and_greedy_answers(engine: Engine, tmp_path: Path) -> None:
    made = rows(engine)
    found = check(tmp_path, made)
    own = found.forms[0]
    assert (own.name, own.live, own.status) == ("fp32", True, FormStatus.PASSED)
    assert own.greedy is not None
    assert (own.greedy.n_prompts, own.greedy.n_tokens, own.greedy.partings) == (3, 9, ())
    trained = [v for r in made for v, on in zip(r["logprobs"], r["mask"][1:], strict=True) if on]
    assert own.loss is not None
    assert own.loss.trained == own.loss.found == pytest.approx(-sum(trained) / len(trained))
    assert "3 of 3 greedy answers equal" in found.message


def test_another_greedy_answer_fails_where_the_engine_is_exact(
    engine: Engine, tmp_path: Path
) -> None:
    made = rows(engine)
    prompt = tuple(made[1]["ids"][: made[1]["greedy"]["n_prompt"]])
    engine.greedy[prompt] = [7, 5, 9]
    with pytest.raises(ParityFailed, match="row 2: the greedy answer parts at its token 2, 8 in"):
        check(tmp_path, made)
    made[1]["greedy"]["margins"][1] = 1.9e-3
    found = check(tmp_path, made)
    assert found.forms[0].greedy is not None
    (parting,) = found.forms[0].greedy.partings
    assert (parting.row, parting.token, parting.margin, parting.by_rounding) == (2, 2, 1.9e-3, True)
    assert "2 of 3 greedy answers equal (row 2 parts at token 2" in found.message


def test_another_greedy_answer_of_rounded_weights_is_told_with_its_margin(
    engine: Engine, tmp_path: Path
) -> None:
    made = rows(engine)
    engine.linear = "int8"
    engine.greedy[tuple(made[0]["ids"][: made[0]["greedy"]["n_prompt"]])] = [7, 8, 4]
    made[0]["greedy"]["margins"][2] = 5.0
    found = check(tmp_path, made)
    assert found.forms[0].greedy is not None
    assert found.forms[0].greedy.partings[0].margin == 5.0
    assert "parts at token 3, where the two best are 5 apart" in found.message


def test_an_engine_that_cannot_answer_greedily_leaves_no_certificate(
    engine: Engine, tmp_path: Path
) -> None:
    made = rows(engine)
    engine.refuses = "not numbers"
    with pytest.raises(ModisteError, match="not numbers"):
        check(tmp_path, made)


def test_rows_of_an_older_trainer_pass_without_greedy_answers(
    engine: Engine, tmp_path: Path
) -> None:
    made = rows(engine)
    for row in made:
        del row["greedy"]
    found = check(tmp_path, made)
    assert found.forms[0].greedy is None
    assert "greedy" not in found.message


def test_the_other_forms_are_told_and_fail_no_job(
    engine: Engine, tmp_path: Path, child: Child
) -> None:
    child.moved = {"int8": 0.06}
    child.unread = {"bf16": Unread("no such kernel")}
    found = check(tmp_path, rows(engine))
    assert [(form.name, form.status.value) for form in found.forms] == [
        ("fp32", "passed"),
        ("bf16", "not_checked"),
        ("int8", "apart"),
        ("merged", "passed"),
    ]
    assert child.asked == [["bf16", "int8", "merged"]]
    assert "no such kernel" in found.forms[1].message
    assert "0.06 apart on average, 0.05 is allowed" in found.forms[2].message
    assert found.forms[2].tolerance == closeness.ROUNDED["int8"].largest
    assert found.passed
    assert found.message.endswith("Not within tolerance in other forms: int8.")


def test_the_exact_form_is_told_of_a_model_that_is_served_in_int8(
    engine: Engine, tmp_path: Path, child: Child
) -> None:
    engine.linear = "int8"
    child.moved = {"fp32": 0.002}
    found = check(tmp_path, rows(engine))
    assert [form.name for form in found.forms] == ["int8", "fp32", "bf16", "merged"]
    assert found.forms[1].status is FormStatus.APART
    assert found.forms[1].tolerance == closeness.EXACT.largest


def test_a_child_that_dies_leaves_the_other_forms_unchecked(
    engine: Engine, tmp_path: Path, child: Child
) -> None:
    child.unread = dict.fromkeys(("bf16", "int8", "merged"), Unread("was killed with signal 9"))
    found = check(tmp_path, rows(engine))
    assert {form.status for form in found.forms[1:]} == {FormStatus.NOT_CHECKED}
    assert "was killed with signal 9" in found.forms[1].message


def test_other_forms_of_large_bases_are_left_out_with_the_reason(
    engine: Engine, tmp_path: Path, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parity, "MOST_PARAMETERS", 1_000_000)
    found = check(tmp_path, rows(engine))
    assert child.asked == []
    assert "million parameters" in found.forms[1].message
    monkeypatch.setattr(parity, "MOST_PARAMETERS", 10**12)
    monkeypatch.setattr(parity, "MEMORY_PER_PARAMETER", 1e9)
    found = check(tmp_path, rows(engine))
    assert (child.asked, found.forms[1].status) == ([], FormStatus.NOT_CHECKED)
    assert "GB are free" in found.forms[1].message
