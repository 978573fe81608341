"""Labels of classifier rows."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.inspect.labels import Labels
from modiste.prepare.inspect.remark import Remark, passages
from modiste.types import Example, SampleType


def labels(rows: list[tuple[str, dict[str, tuple[str, ...]]]]) -> Labels:
    found = Labels()
    for line, (text, given_labels) in enumerate(rows, start=1):
        row = Example(line, SampleType.CLASSIFIER, text=text, labels=given_labels)
        found.add(row, passages(row))
    return found


def remarks(*values: str) -> list[Remark]:
    rows = [(f"text {at}", {"topic": (value,)}) for at, value in enumerate(values)]
    return list(labels(rows).remarks())


GOOD = ["billing", "returns", "delivery"] * 20


def test_balanced_labels_are_left_alone() -> None:
    assert remarks(*GOOD) == []


def test_case_and_spaces_make_other_classes() -> None:
    (remark,) = remarks(*GOOD, *["Billing "] * 10)
    assert remark.code == "label_spelling"
    assert "'billing' (20), 'Billing ' (10)" in remark.message.replace("'Billing'", "'Billing '")
    assert remark.line == 61


def test_a_typing_error_is_named_with_what_was_meant() -> None:
    found = [r for r in remarks(*GOOD, "biling") if r.code == "label_near"]
    assert "'biling' in 1 row, close to 'billing' in 20 rows" in found[0].message


def test_similar_classes_with_many_rows_are_no_typing_error() -> None:
    names = ["change_user_name", "change_ai_name", "restaurant_reviews", "restaurant_review_x"]
    assert [r.code for r in remarks(*(names * 20))] == []


def test_a_label_that_is_missing_names_its_first_row() -> None:
    rows = [("a", {"topic": ("x",), "tone": ("y",)}), ("b", {"topic": ("z",)})]
    found = [r for r in labels(rows).remarks() if r.code == "label_missing"]
    assert [(r.path, r.line) for r in found] == [("labels.tone", 2)]


def test_the_same_text_with_two_labels_is_a_contradiction() -> None:
    rows = [("Where is it?", {"topic": ("delivery",)}), ("where  IS it?", {"topic": ("returns",)})]
    found = [r for r in labels(rows).remarks() if r.code == "label_contradiction"]
    assert "line 2 and line 1" in found[0].message


def test_classes_with_few_rows_are_rare() -> None:
    (remark,) = remarks(*GOOD, "refund", "refund")
    assert (remark.code, remark.value) == ("label_rare", "refund")


def test_one_class_alone_teaches_nothing() -> None:
    assert [r.code for r in remarks(*["oos"] * 30)] == ["label_single"]


def test_a_class_that_is_nearly_everything_is_named() -> None:
    assert [r.code for r in remarks(*["ham"] * 190, *["spam"] * 10)] == ["label_imbalance"]


def test_a_value_for_every_row_is_no_class() -> None:
    assert [r.code for r in remarks(*(f"answer {at}x" for at in range(80)))] == ["label_too_many"]


def test_rows_of_other_kinds_are_not_counted() -> None:
    found = Labels()
    found.add(Example(1, SampleType.PRETRAIN, text="x"), [])
    assert list(found.remarks()) == []


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c"]),
        st.dictionaries(st.sampled_from(["t", "u"]), st.tuples(st.sampled_from(["x", "y", "X"]))),
    ),
    max_size=12,
)


@given(ROWS, st.integers(0, 12))
def test_parts_of_a_file_add_up_to_the_whole(
    rows: list[tuple[str, dict[str, tuple[str, ...]]]], at: int
) -> None:
    first, later = labels(rows[:at]), pickle.loads(pickle.dumps(labels(rows[at:])))
    first.merge(later, lines_before=len(rows[:at]))
    assert list(first.remarks()) == list(labels(rows).remarks())
