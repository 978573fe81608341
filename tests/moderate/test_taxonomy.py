"""Codes mean what their version says, and cross over to what overlaps with them."""

import pytest

from modiste.errors import NotFound
from modiste.moderate.taxonomy import Code, category, equivalents, taxonomies, taxonomy


def test_every_published_list_has_its_number_of_categories() -> None:
    # Counts: the vendors' model cards; AILuminate's 12 hazards with five parts of two of them.
    told = {name: len(each.categories) for name, each in taxonomies().items()}
    assert told == {
        "mistral-moderation/2411": 9,
        "mistral-moderation/2603": 11,
        "ailuminate/1": 12 + 5,
        "llama-guard/1": 6,
        "llama-guard/2": 11,
        "llama-guard/3-1b": 13,
        "llama-guard/3": 14,
        "llama-guard/4": 14,
        "openai-moderation/2024-09": 13,
    }


def test_one_code_is_another_hazard_in_another_version() -> None:
    assert category("llama-guard/2:S5").title == "Specialized advice"
    assert category("llama-guard/3:S5").title == "Defamation"
    assert category("S14", within="llama-guard/4").title == "Code interpreter abuse"
    with pytest.raises(NotFound, match="llama-guard/3-1b has no 'S14'"):
        category("llama-guard/3-1b:S14")


def test_a_bare_code_means_nothing() -> None:
    with pytest.raises(NotFound, match="no code without its taxonomy"):
        category("S5")


@pytest.mark.parametrize(
    ("code", "into", "names"),
    [
        (Code("llama-guard/2", "S5"), "llama-guard/4", ("S6",)),
        (Code("llama-guard/2", "S5"), "mistral-moderation/2603", ("health", "financial", "law")),
        (Code("ailuminate/1", "vcr"), "llama-guard/1", ("O1", "O3")),
        (Code("mistral-moderation/2411", "pii"), "ailuminate/1", ("prv",)),
        (Code("ailuminate/1", "dfm"), "mistral-moderation/2603", ()),
        (Code("llama-guard/3", "S3"), "llama-guard/3", ("S3",)),
        (Code("mistral-moderation/2603", "jailbreaking"), "llama-guard/3", ("S14",)),
    ],
)
def test_codes_cross_over(code: Code, into: str, names: tuple[str, ...]) -> None:
    assert equivalents(code, into) == names


def test_every_code_of_the_crosswalk_is_in_its_list_and_every_hazard_crosses_over() -> None:
    from modiste.moderate.taxonomy import _crosswalk

    named = {
        (of, name)
        for line in _crosswalk()
        for of, names in line.items()
        if of != "hazard"
        for name in names
    }
    for of, name in named:
        assert name in taxonomy(of).categories, (of, name)
    without = {(t.name, name) for t in taxonomies().values() for name in t.categories} - named
    # A person's insult is no hazard of the others, and what is graphic is told by OpenAI alone.
    assert without == {
        ("openai-moderation/2024-09", "harassment"),
        ("openai-moderation/2024-09", "harassment/threatening"),
        ("openai-moderation/2024-09", "violence/graphic"),
    }


def test_parts_name_what_they_are_part_of() -> None:
    for each in taxonomies().values():
        for found in each.categories.values():
            assert found.part_of is None or found.part_of in each.categories


def test_a_name_that_is_nearly_right_is_advised() -> None:
    with pytest.raises(NotFound, match="did you mean 'llama-guard/3'"):
        taxonomy("llamaguard/3")
    with pytest.raises(NotFound, match="did you mean 'selfharm'"):
        category("mistral-moderation/2603:self_harm")
