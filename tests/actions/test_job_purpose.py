"""What rows are for: told by the rows, and refused where a wish does not fit them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mistral_common
import pytest

from modiste import settings as settings_module
from modiste.actions import job_checks
from modiste.actions.job_checks import DataFile
from modiste.actions.job_purpose import API_FIM_RATIO, Purpose, purpose
from modiste.prepare import render
from modiste.prepare.checks.findings import Input, check_files
from modiste.prepare.render import Renderer
from modiste.prepare.render_mistral import MistralRenderer
from modiste.tune.spec import Objective, TuneSpec, parse

TINY = Path(settings_module.__file__).parent / "bases" / "tiny"
CHAT = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}
PAIR = {"prompt": "a?", "chosen": "b.", "rejected": "c, I think."}
TEXT = {"text": "def f(x):\n    return x"}


def spec(**values: object) -> TuneSpec:
    return parse({"model": "m", "data": {"train": [{"file_id": "t"}]}, **values}).spec


@pytest.fixture(scope="module")
def codestral() -> Renderer:
    data = Path(mistral_common.__file__).parent / "data"
    return MistralRenderer(data / "mistral_instruct_tokenizer_240323.model.v3")


class Judge:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        *train: list[dict[str, Any]],
        validation: list[dict[str, Any]] | None = None,
        renderer: Renderer | None = None,
        fim_said: bool = True,
        **wish: object,
    ) -> Purpose:
        files = [self.file(f"train{n}.jsonl", rows) for n, rows in enumerate(train)]
        held = [self.file("validation.jsonl", validation)] if validation else []
        findings = check_files(files, validation=held)
        renderer = renderer or render.load(TINY)
        return purpose(spec(**wish), findings, renderer, fim_said=fim_said)

    def file(self, name: str, rows: list[dict[str, Any]]) -> Input:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return Input(path, name)


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    return Judge(tmp_path)


@pytest.mark.parametrize(("rows", "objective"), [([CHAT], "sft"), ([TEXT], "sft"), ([PAIR], "dpo")])
def test_rows_tell_what_they_are_for(judge: Judge, rows: list[Any], objective: str) -> None:
    found = judge(rows, validation=rows)
    assert found.spec.objective == objective
    assert found.problems == ()


def test_chats_and_texts_may_be_mixed(judge: Judge) -> None:
    found = judge([CHAT], [TEXT])
    assert found.spec.objective is Objective.SFT
    assert not found.problems


def test_pairs_beside_chats_are_refused_with_how_many_of_each(judge: Judge) -> None:
    (problem,) = judge([PAIR] * 3, [CHAT] * 2).problems
    assert problem.code == "kinds_mixed"
    assert "3 preference rows (train0.jsonl)" in problem.message
    assert "2 instruct rows (train1.jsonl)" in problem.message
    assert "continue_from" in str(problem)


def test_an_objective_that_the_rows_cannot_serve_is_refused(judge: Judge) -> None:
    (problem,) = judge([CHAT], objective="dpo").problems
    assert problem.code == "kind_not_trained"
    assert problem.file == "train0.jsonl"
    assert "compares pairs" in problem.message
    (problem,) = judge([PAIR], objective="sft").problems
    assert "convert --to chat" in str(problem)


def test_validation_rows_have_to_be_of_the_same_kind(judge: Judge) -> None:
    (problem,) = judge([PAIR], validation=[CHAT]).problems
    assert problem.file == "validation.jsonl"


def test_texts_on_a_base_that_knows_fim_get_the_apis_default(
    judge: Judge, codestral: Renderer
) -> None:
    found = judge([TEXT], renderer=codestral, fim_said=False)
    assert found.spec.fim_ratio == API_FIM_RATIO
    assert "fim_ratio was not given" in found.notes[0]


@pytest.mark.parametrize("rows", [[CHAT], [PAIR]])
def test_what_is_no_text_has_no_default(judge: Judge, codestral: Renderer, rows: list[Any]) -> None:
    found = judge(rows, renderer=codestral, fim_said=False)
    assert (found.spec.fim_ratio, found.notes) == (0.0, ())


def test_a_base_that_knows_no_fim_has_no_default(judge: Judge) -> None:
    assert judge([TEXT], fim_said=False).spec.fim_ratio == 0.0


def test_a_ratio_of_nought_is_kept(judge: Judge, codestral: Renderer) -> None:
    assert judge([TEXT], renderer=codestral, fim_ratio=0.0).spec.fim_ratio == 0.0


def test_a_ratio_that_was_asked_for_is_refused_where_the_base_has_no_tokens(judge: Judge) -> None:
    (problem,) = judge([TEXT], fim_ratio=0.5).problems
    assert (problem.code, problem.path) == ("fim_unknown", "hyperparameters.fim_ratio")


def test_a_ratio_beside_chats_is_said_to_have_no_effect(judge: Judge) -> None:
    """Clients of the vendor send one with every job."""
    found = judge([CHAT], fim_ratio=0.9)
    assert not found.problems
    assert found.spec.fim_ratio == 0.0
    assert "plain text" in found.notes[0]


def test_a_pair_counts_once_and_its_reference_is_planned(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_text("".join(json.dumps(PAIR | {"prompt": f"{n}?"}) + "\n" for n in range(40)))
    file = DataFile("t", path, "t")
    wish = spec(epochs=2, batch_size=4)
    found = job_checks.read(wish, TINY, train=[file], validation=[])
    assert found.n_examples == 40
    assert found.findings.train[0].n_samples == 80
    made = job_checks.planned(wish, found, tokens_per_s=1000.0, price_micro_per_million_tokens=0)
    assert made.spec.objective is Objective.DPO
    assert not made.problems
    assert job_checks.refusal(found, made, skip_fraction=0.0) is None
    # Packs hold both conversations of their pairs: 4 sequences of 256 tokens each way.
    assert made.train_tokens_per_step > 4 * made.spec.max_length  # type: ignore[operator]
    assert "compared by dpo (beta 0.1)" in made.details
    assert made.epochs == pytest.approx(2, abs=0.5)
