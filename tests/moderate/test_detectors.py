"""Which categories a detector scores, and what its names mean to a policy."""

from modiste.moderate.detectors import resolved
from modiste.moderate.policy import Policy, from_json


def policy(*categories: str, detector: dict[str, object], taxonomy: str | None = None) -> Policy:
    codes = [{"code": each, "definition": "d"} for each in categories]
    given = {"name": "p", "taxonomy": taxonomy, "categories": codes, "detectors": [detector]}
    return from_json(given, file="policy")


MISTRAL = "mistral-moderation/2603"
ENDPOINT = {"name": "e", "kind": "endpoint", "url": "https://a.example/v1", "model": "m"}


def test_an_endpoint_scores_what_its_taxonomy_and_the_policy_share() -> None:
    made = policy(
        "pii",
        "selfharm",
        "weapons",
        detector={**ENDPOINT, "speaks": MISTRAL, "categories": {"dangerous": "weapons"}},
        taxonomy=MISTRAL,
    )
    detector = made.detectors[0]
    assert detector.codes(made) == {"pii", "selfharm", "weapons"}
    assert resolved(detector, "dangerous", made) == "weapons"
    assert resolved(detector, "pii", made) == "pii"
    assert resolved(detector, "health", made) == "health"  # known, and nobody's concern
    assert resolved(detector, "astrology", made) is None


def test_codes_of_another_taxonomy_go_by_their_full_name() -> None:
    made = policy(
        "openai-moderation/2024-09:hate",
        detector={**ENDPOINT, "speaks": "openai-moderation/2024-09"},
    )
    assert resolved(made.detectors[0], "hate", made) == "openai-moderation/2024-09:hate"


def test_labels_of_a_classifier_are_named_ignored_or_unknown() -> None:
    made = policy(
        "hate",
        detector={
            "name": "c",
            "kind": "classifier",
            "model": "ft:x",
            "categories": {"toxic": "hate"},
            "ignore": ["neutral"],
        },
    )
    detector = made.detectors[0]
    assert [resolved(detector, name, made) for name in ("toxic", "neutral", "spam")] == [
        "hate", "neutral", None
    ]  # fmt: skip
