"""A document as the harness tells it, and the sample that it becomes."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.evaluate.items import Sample
from modiste.evaluate.lm_eval_samples import MetricName, samples_of
from modiste.types import Message, Role

ACC = MetricName("acc", "none")
CHOICES = [(" honey", -12.1), (" roads", -12.5), (" laws", -10.8)]


def row(**changes: Any) -> dict[str, Any]:
    """Of a multiple choice, as 0.4.13 writes it."""
    told = {
        "doc_id": 7,
        "doc": {"question": "What do bees make?"},
        "target": "0",
        "arguments": {
            f"gen_args_{at}": {"arg_0": "Q", "arg_1": text} for at, (text, _) in enumerate(CHOICES)
        },
        "resps": [[[str(logprob), "False"]] for _, logprob in CHOICES],
        "filtered_resps": [[str(logprob), "False"] for _, logprob in CHOICES],
        "filter": "none",
        "metrics": ["acc"],
        "acc": 0.0,
    }
    return {**told, **changes}


def sample(told: dict[str, Any], kind: str = "multiple_choice", *, several: bool = False) -> Sample:
    rows = {"none": [told]}
    (made,) = samples_of({"output_type": kind}, "bees", rows, [ACC], several=several)
    return made


def test_of_a_choice_the_likeliest_is_the_answer_and_all_are_shown() -> None:
    made = sample(row())
    assert made.answer.text == "laws"
    assert made.scores["acc"].value == 0.0
    assert made.scores["acc"].detail == {"logprobs": CHOICES}
    assert (made.item.key, made.item.reference, made.item.slices) == ("7", "0", {})


def test_in_a_run_of_several_tasks_a_document_is_known_by_task_and_place() -> None:
    made = sample(row(), several=True)
    assert (made.item.key, made.item.slices) == ("bees/7", {"task": "bees"})


def test_likelihoods_of_choices_alone_are_no_choices() -> None:
    # As `acc_mutual_info` asks for: each choice again, behind nothing.
    alone = {f"gen_args_{3 + at}": {"arg_0": "", "arg_1": c} for at, (c, _) in enumerate(CHOICES)}
    told = row(
        arguments={**row()["arguments"], **alone},
        resps=[*row()["resps"], *([[["-0.1", "False"]]] * 3)],
    )
    assert sample(told).answer.text == "laws"


def test_more_than_ten_choices_are_kept_in_their_order() -> None:
    arguments = {f"gen_args_{at}": {"arg_0": "Q", "arg_1": f"c{at}"} for at in (0, 10, 11, 1, 2)}
    resps = [[[str(-float(at)), "False"]] for at in range(5)]
    made = sample(row(arguments=arguments, resps=resps))
    assert made.scores["acc"].detail["logprobs"] == [
        ("c0", 0.0), ("c1", -1.0), ("c2", -2.0), ("c10", -3.0), ("c11", -4.0),
    ]  # fmt: skip


def test_of_one_continuation_there_is_a_likelihood_and_no_answer() -> None:
    told = row(
        arguments={"gen_args_0": {"arg_0": "Q", "arg_1": " honey"}}, resps=[[["-2", "True"]]]
    )
    made = sample(told, "loglikelihood")
    assert made.answer.text == ""
    assert made.scores["acc"].detail == {"logprobs": [(" honey", -2.0)]}


def test_a_generated_text_is_the_answer_and_what_was_read_from_it_the_label() -> None:
    asked = {"gen_args_0": {"arg_0": "Q", "arg_1": {"until": ["\n"]}}}
    told = row(arguments=asked, resps=[["It is honey."]], filtered_resps=["honey"], acc=1)
    made = sample(told, "generate_until")
    assert made.answer.text == "It is honey."
    assert (made.scores["acc"].value, made.scores["acc"].label) == (1.0, "honey")
    assert made.scores["acc"].detail == {}


def test_further_generations_of_a_document_are_kept() -> None:
    asked = {"gen_args_0": {"arg_0": "Q", "arg_1": {}}}
    told = row(arguments=asked, resps=[["a", "b"]], filtered_resps=["a"])
    made = sample(told, "generate_until")
    assert made.answer.text == "a"
    assert made.scores["acc"].detail == {"repeats": ["a", "b"]}


def test_a_plain_prompt_is_one_message_and_a_chat_its_own() -> None:
    assert sample(row()).prompt == (Message(Role.USER, "Q"),)
    chat = '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q"}]'
    told = row(arguments={"gen_args_0": {"arg_0": [chat], "arg_1": {}}}, resps=[["a"]])
    assert sample(told, "generate_until").prompt == (
        Message(Role.SYSTEM, "Be brief."),
        Message(Role.USER, "Q"),
    )


@pytest.mark.parametrize("value", [float("nan"), None, [1, 2], "0.5"])
def test_what_is_no_number_is_an_error_and_no_zero(value: Any) -> None:
    score = sample(row(acc=value)).scores["acc"]
    assert (score.status, score.value) == ("error", None)


@pytest.mark.parametrize(
    ("metric", "filter_", "scorer"),
    [
        ("acc", "none", "acc"),
        ("exact_match", "flexible-extract", "exact_match-flexible-extract"),
        ("pass@1", "create test", "pass-1-create-test"),
    ],
)
def test_metric_and_filter_make_a_scorers_name(metric: str, filter_: str, scorer: str) -> None:
    assert MetricName(metric, filter_).scorer == scorer


def test_nothing_is_said_of_what_the_harness_does_not_measure() -> None:
    answer = sample(row()).answer
    assert (answer.latency_s, answer.n_tokens, answer.ttft_s, answer.cost_micro) == (
        0,
        0,
        None,
        None,
    )
