"""A policy file is a policy, or everything that is wrong with it is said at once."""

from __future__ import annotations

import pytest

from modiste.errors import InvalidInput
from modiste.moderate.policy import Action, Place, Policy, from_json, read, remarks

GOOD = """
name: support
taxonomy: mistral-moderation/2603
categories:
- code: pii
  action: redact
  applies_to: [input, output]
- code: jailbreaking
  applies_to: [input, retrieved]
- code: llama-guard/3:S5
  threshold: 0.7
  action: flag
- code: competitors
  title: Competitors
  definition: Praises another shop
  violates: [Globex is better]
  allowed: [I came from Globex]
  severity: 1
  action: rewrite
  template: "About other shops I cannot speak. ({{category}})"
  applies_to: [output]
detectors:
- {name: personal, kind: personal, category: pii}
- {name: attacks, kind: injection, category: jailbreaking}
- {name: shops, kind: words, category: competitors, words: [Globex]}
- {name: guard, kind: guard, model: guard, style: llama_guard, on_error: open,
   categories: ["llama-guard/3:S5"]}
"""


def test_a_good_file_is_what_it_says() -> None:
    policy = read(GOOD, file="p.yaml")
    assert [each.code for each in policy.at(Place.OUTPUT)] == [
        "pii", "llama-guard/3:S5", "competitors"
    ]  # fmt: skip
    assert policy.title("llama-guard/3:S5") == "Defamation"
    assert policy.definition("pii").startswith("Asks for, reveals")
    assert policy.category("competitors").action is Action.REWRITE
    assert policy.known("competitors") is None
    assert policy.places() == {Place.INPUT, Place.OUTPUT, Place.RETRIEVED}
    assert Policy.model_validate(policy.model_dump(mode="json", by_alias=True)) == policy


def test_few_examples_are_remarked() -> None:
    assert [
        "competitors is a category of your own" in each for each in remarks(read(GOOD, file="p"))
    ] == [True]


def test_everything_wrong_is_said_with_line_field_and_value() -> None:
    text = """name: support
taxonomy: mistral-moderation/2603
categories:
- code: self_harm
- code: pii
  action: redact
- code: mine
- code: pii
- code: hate_and_discrimination
detectors:
- {name: d, kind: endpoint, url: "https://a.example/v1", model: m, speaks: mistral-moderation/2603}
- {name: d, kind: words, category: other, words: [x]}
"""
    with pytest.raises(InvalidInput) as refused:
        read(text, file="p.yaml")
    told = {(p.path, p.code): (p.line, p.value) for p in refused.value.problems}
    assert told == {
        ("categories.3.code", "twice"): (8, "'pii'"),
        ("detectors.1.name", "twice"): (12, "'d'"),
        ("categories.0.code", "category_unknown"): (4, "'self_harm'"),
        ("categories.1.action", "cannot_redact"): (6, "'redact'"),
        ("categories.2.code", "category_unknown"): (7, "'mine'"),
        ("detectors.1", "category_unknown"): (12, "'other'"),
    }
    assert "did you mean 'selfharm'" in refused.value.message


@pytest.mark.parametrize(
    ("change", "path", "said"),
    [
        (("action: flag", "action: rewrite"), "categories.2", "template goes with action rewrite"),
        (("threshold: 0.7", "threshold: 0"), "categories.2.threshold", "greater than 0"),
        (("severity: 1", "severity: 5"), "categories.3.severity", "less than or equal to 4"),
        (("action: flag", "acton: flag"), "categories.2.acton", "did you mean 'action'"),
        (("kind: injection", "kind: injektion"), "detectors.1", "did you mean 'injection'"),
        (("words: [Globex]", "words: []"), "detectors.2.words", "give words or patterns"),
        (("2603\n", "2604\n"), "taxonomy", "did you mean 'mistral-moderation/2603'"),
        (("model: guard, ", ""), "detectors.3.guard.model", "Field required"),
        (("category: competitors, words: [Globex]", "category: pii, words: [x]"),
         "categories.3.code", "no detector scores this category"),
        (("[input, retrieved]", "[input, input]"), "categories.1", "names a place twice"),
    ],
)  # fmt: skip
def test_each_mistake_is_said_where_it_stands(
    change: tuple[str, str], path: str, said: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(GOOD.replace(*change), file="p.yaml")
    problems = refused.value.problems
    assert any(each.path.startswith(path) and said in each.message for each in problems), problems
    assert all(each.line for each in problems)


def test_an_unknown_taxonomy_of_an_endpoint_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no taxonomy is called 'nobody/1'"):
        from_json(
            {
                "name": "p",
                "categories": [{"code": "x", "definition": "d"}],
                "detectors": [
                    {"name": "e", "kind": "endpoint", "url": "https://a.example", "model": "m",
                     "speaks": "nobody/1", "categories": {"a": "x"}}
                ],
            },
            file="policy",
        )  # fmt: skip
