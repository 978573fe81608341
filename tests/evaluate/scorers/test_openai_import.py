"""OpenAI's graders and evals become entries of suites."""

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.scorers.openai_import import from_openai
from modiste.evaluate.scorers.registry import parse

CHECK = {
    "type": "string_check", "name": "Match it!", "operation": "eq",
    "input": "{{ sample.output_text }}", "reference": "{{ item.correct_label }}",
}  # fmt: skip
EVAL = {
    "object": "eval", "id": "eval_1", "name": "IT tickets",
    "data_source_config": {
        "type": "custom",
        "item_schema": {"type": "object", "properties": {"ticket_text": {"type": "string"}}},
        "include_sample_schema": True,
    },
    "testing_criteria": [
        {**CHECK, "id": "Match-1"},
        {"type": "label_model", "name": "Match it!", "model": "o3-mini",
         "input": [{"role": "user", "content": "{{sample.output_text}}"}],
         "labels": ["a", "b"], "passing_labels": ["a"]},
    ],
}  # fmt: skip
RUN = {
    "data_source": {
        "type": "responses", "model": "gpt-4.1",
        "input_messages": {"type": "template", "template": [
            {"role": "developer", "content": "Categorise."},
            {"role": "user", "content": {"type": "input_text", "text": "{{ item.ticket_text }}"}},
        ]},
        "source": {"type": "file_id", "id": "file-1"},
    },
}  # fmt: skip


def test_one_grader_is_one_entry_that_a_suite_can_have() -> None:
    found = from_openai(CHECK)
    (entry,) = found.entries
    assert (entry["kind"], entry["name"]) == ("openai", "Match_it")
    assert parse(found.entries)[0].name == "Match_it"
    assert found.remarks == ()


def test_a_whole_eval_with_its_run_brings_all_that_a_suite_needs() -> None:
    found = from_openai(EVAL, run=RUN)
    assert [entry["name"] for entry in found.entries] == ["Match_it", "Match_it_2"]
    assert len(parse(found.entries)) == 2
    assert found.item_schema == EVAL["data_source_config"]["item_schema"]
    assert found.messages == (
        {"role": "system", "content": "Categorise."},
        {"role": "user", "content": "{{ item.ticket_text }}"},
    )
    assert (found.model, found.file_id) == ("gpt-4.1", "file-1")
    assert any("modiste models add" in remark for remark in found.remarks)


def test_all_that_cannot_be_imported_is_said_at_once() -> None:
    bad = [{**CHECK, "operation": "is"}, {"type": "endpoint", "url": "x"}, "text"]
    with pytest.raises(InvalidInput) as refused:
        from_openai(bad)
    said = refused.value.message
    assert all(f"testing_criteria[{at}]" in said for at in range(3))
    with pytest.raises(InvalidInput, match="no list of graders"):
        from_openai({"testing_criteria": []})
