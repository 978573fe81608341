"""Labels read from free text."""

import pytest

from modiste.evaluate.scorers.labels import Labels

NEWS = Labels(["news_related", "not_news_related"])
MAIL = Labels(["spam", "ham", "spam report"])


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("news_related", "news_related"),
        (" “Not_News_Related”. ", "not_news_related"),
        ("not_news_related", "not_news_related"),
        ("not_news_related, because it is a recipe", "not_news_related"),
        ("The label is not_news_related.", "not_news_related"),
        ("The label: `news_related`", "news_related"),
        ('{"label": "not_news_related"}', "not_news_related"),
        ("news_related or not_news_related?", "news_related"),
        ("I waver between not_news_related and news_related", None),
        ("unnews_related", None),
        ("not_news_rel", None),
        ("It is not news_related", None),
        ("", None),
    ],
)
def test_a_label_within_another_is_never_read_by_mistake(text: str, label: str | None) -> None:
    assert NEWS.read(text) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("spam report", "spam report"),
        ("It is a spam report", "spam report"),
        ("It isn't spam", None),
        ("This is not a spam, it is ham", "ham"),
        ("non-spam", None),
        ("SPAM!", "spam"),
        ("spam spam spam", "spam"),
        ("ｓｐａｍ", "spam"),
        ("hamster", None),
    ],
)
def test_the_longest_label_wins_and_a_denied_one_is_not_named(text: str, label: str | None) -> None:
    assert MAIL.read(text) == label


@pytest.mark.parametrize("names", [[], ["a", "A."], ["ok", "..."]])
def test_labels_that_cannot_be_told_apart_are_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match="label"):
        Labels(names)
