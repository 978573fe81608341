"""OpenAI's graders are checked when they are read."""

from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.scorers.registry import parse

CHECK = {"type": "string_check", "input": "{{sample.output_text}}", "reference": "x",
         "operation": "eq"}  # fmt: skip
JUDGE = {"type": "label_model", "model": "m", "input": [{"role": "user", "content": "x"}],
         "labels": ["good", "bad"], "passing_labels": ["good"]}  # fmt: skip


@pytest.mark.parametrize(
    ("grader", "said"),
    [
        ({**CHECK, "operation": "equals"}, "operation"),
        ({**CHECK, "input": "{{x"}, "is no template"),
        ({**CHECK, "type": "string"}, "did you mean 'string_check'"),
        ({**JUDGE, "passing_labels": ["fine"]}, "passing_labels has fine"),
        ({**JUDGE, "input": [{"role": "user", "content": {"type": "input_image"}}]},
         "expected text"),
        ({"type": "text_similarity", "input": "", "reference": "", "evaluation_metric": "meteor"},
         "meteor"),
        ({"type": "score_model", "model": "m", "input": JUDGE["input"], "range": [1, 0]},
         "the lower end first"),
        ({"type": "multi", "graders": {"a": CHECK}, "calculate_output": "a + b"}, "names b"),
        ({"type": "multi", "graders": {"a": CHECK}, "calculate_output": "open(a)"}, "no function"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_grader_is_said(grader: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse([{"kind": "openai", "grader": grader}])
    assert said in refused.value.message


def test_messages_may_hold_parts_of_text() -> None:
    parts = [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]
    (scorer,) = parse(
        [
            {
                "kind": "openai",
                "grader": {**JUDGE, "input": [{"role": "developer", "content": parts}]},
            }
        ]
    )
    assert scorer.scale == (0.0, 1.0)
