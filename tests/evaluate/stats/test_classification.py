"""The report of a classifier, beside guessing."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.classification import classification_report
from modiste.evaluate.stats.estimates import wilson

LABELS = ["not_news_related", "news_related"]


def answers(tp: int, fp: int, fn: int, tn: int) -> tuple[list[str], list[str]]:
    no, yes = LABELS
    y = [yes] * tp + [no] * fp + [yes] * fn + [no] * tn
    yhat = [yes] * tp + [yes] * fp + [no] * fn + [no] * tn
    return y, yhat


def test_the_published_case_before_and_after_tuning() -> None:
    """87 % right, 20 % found, F1 20 % becomes 96, 90 and 78 %, and 92 % are right without looking.

    Counts per 10,000 that solve the published percentages, at a prevalence of 8 %, where 323.5
    false alarms are rounded to whole ones: hence tolerances of 5e-4.
    """
    base = classification_report(*answers(160, 640, 640, 8560), LABELS)
    assert base.accuracy.value == pytest.approx(0.872)
    assert base.f1 is not None
    assert base.f1.value == pytest.approx(0.2)
    assert base.of("news_related").recall.value == pytest.approx(0.2)
    assert base.of("news_related").precision.value == pytest.approx(0.2)
    assert base.mcc is not None
    assert base.mcc.value == pytest.approx(0.13043478260869565)
    assert base.of("news_related").prevalence == pytest.approx(0.08)
    assert (base.baseline.label, base.baseline.accuracy) == ("not_news_related", 0.92)
    assert not base.beats_baseline

    tuned = classification_report(*answers(720, 323, 80, 8877), LABELS)
    assert tuned.accuracy.value == pytest.approx(0.9597, abs=5e-4)
    assert tuned.of("news_related").recall.value == pytest.approx(0.9)
    assert tuned.of("news_related").precision.value == pytest.approx(0.69, abs=0.001)
    assert tuned.f1 is not None
    assert tuned.mcc is not None
    assert tuned.f1.value == pytest.approx(0.7811, abs=5e-4)
    assert tuned.mcc.value == pytest.approx(0.7675, abs=5e-4)
    assert tuned.beats_baseline
    assert tuned.mcc.ci.lo > base.mcc.ci.hi


def test_shares_have_intervals_on_their_own_denominators() -> None:
    report = classification_report(*answers(27, 5, 3, 65), LABELS)
    news = report.of("news_related")
    assert news.recall.ci == wilson(27, 30)
    assert news.precision.ci == wilson(27, 32)
    assert news.specificity.ci == wilson(65, 70)
    assert report.accuracy.ci == wilson(92, 100)
    assert (news.recall.k, news.recall.n, news.support) == (27, 30, 30)


def test_an_answer_without_a_label_is_wrong_and_counted_apart() -> None:
    y, yhat = answers(5, 0, 0, 5)
    report = classification_report([*y, "news_related"], [*yhat, None], LABELS)
    assert report.n_unparseable == 1
    assert report.accuracy.value == pytest.approx(10 / 11)
    assert report.of("news_related").recall.value == pytest.approx(5 / 6)
    assert report.micro.precision == 1
    assert report.micro.recall == pytest.approx(10 / 11)
    assert [sum(row) for row in report.confusion] == [5, 6]
    marked = classification_report([*y, "news_related"], [*yhat, "?"], LABELS, unparseable="?")
    assert marked == report


def test_averages_by_hand() -> None:
    """Per class precision 2/3, 1, 1/2, recall 2/3, 2/3, 2/3, F1 2/3, 4/5, 4/7."""
    report = classification_report(list("aaabbbccc"), list("aacbbcacc"), list("abc"))
    assert report.macro.precision == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert report.macro.recall == pytest.approx(2 / 3)
    assert report.macro.f1 == pytest.approx((2 / 3 + 4 / 5 + 4 / 7) / 3)
    assert report.micro.f1 == pytest.approx(6 / 9)
    assert report.weighted.f1 == pytest.approx(report.macro.f1)


def test_a_class_nobody_said_has_no_precision_and_one_that_is_not_there_no_recall() -> None:
    report = classification_report(["a", "b"], ["a", "a"], ["a", "b", "c"])
    assert report.of("b").precision.value is None
    assert report.of("b").f1.value == 0
    assert report.of("c").recall.value is None
    assert report.of("c").f1 is None
    assert report.mcc is None
    assert report.positive is None
    assert report.macro.recall == 0.5


def test_scores_add_what_ranking_shows() -> None:
    y, yhat = answers(8, 2, 2, 8)
    score = np.linspace(1, 0, 20)
    report = classification_report(y, yhat, LABELS, score=score)
    assert report.auroc is not None
    assert report.auprc is not None
    one_sided = classification_report([LABELS[0]] * 3, [LABELS[0]] * 3, LABELS, score=[1, 2, 3])
    assert one_sided.auroc is None


def test_the_same_seed_gives_the_same_report() -> None:
    pair = answers(27, 5, 3, 65)
    assert classification_report(*pair, LABELS) == classification_report(*pair, LABELS)


def test_what_is_no_classification_is_refused() -> None:
    with pytest.raises(InvalidInput, match="two different"):
        classification_report(["a"], ["a"], ["a", "a"])
    with pytest.raises(InvalidInput, match="two different"):
        classification_report(["a"], ["a"], ["a", None])
    with pytest.raises(InvalidInput, match="0 items"):
        classification_report([], [], ["a", "b"])
    with pytest.raises(InvalidInput, match="score is for two labels"):
        classification_report(["a"], ["a"], ["a", "b", "c"], score=[1.0])
    with pytest.raises(InvalidInput, match="yhat has 2"):
        classification_report(["a"], ["a", "b"], ["a", "b"])


def test_attempts_at_one_item_do_not_narrow_intervals() -> None:
    """Every answer given three times over: as clusters, intervals stay as wide as of one each."""
    y, yhat = answers(27, 5, 3, 65)
    items = list(range(100))
    once = classification_report(y, yhat, LABELS, clusters=items)
    thrice = classification_report(y * 3, yhat * 3, LABELS, clusters=items * 3)
    naive = classification_report(y * 3, yhat * 3, LABELS)
    for of in (lambda r: r.accuracy, lambda r: r.macro_f1, lambda r: r.of(LABELS[1]).recall):
        assert of(thrice).ci.width == pytest.approx(of(once).ci.width)
        assert of(naive).ci.width < 0.75 * of(thrice).ci.width
    assert thrice.macro_f1.n_clusters == 100
    assert once.accuracy.ci.width == pytest.approx(wilson(92, 100).width, rel=0.1)


def test_clusters_that_all_agree_still_leave_doubt() -> None:
    """30 items of 10 clusters, all right: Wilson's interval of 10 of 10."""
    report = classification_report(
        list("ab") * 15, list("ab") * 15, list("ab"), clusters=[at // 3 for at in range(30)]
    )
    assert report.accuracy.ci == wilson(10, 10)


def test_many_classes_take_little_memory_and_time() -> None:
    """150 classes as CLINC150 has; tables of every draw would be 360 MB."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 150, 1500)
    yhat = np.where(rng.random(1500) < 0.8, y, rng.integers(0, 150, 1500))
    report = classification_report(y, yhat, list(range(150)))
    assert report.weighted_f1 is not None
    assert report.weighted_f1.value == pytest.approx(report.weighted.f1)
    assert report.weighted_f1.ci.holds(report.weighted_f1.value)
