"""Rows made from categories."""

from modiste.prepare.curate.safety_rows import Category, held_out, made

RIVALS = Category(
    "rivals",
    "Other shops",
    "Praises another shop",
    ("Buy at Globex.",),
    ("How do I cancel there?",),
)
LAW = Category("law", "Legal advice", "Advice for one case.")


def test_rows_that_measure_are_none_that_train() -> None:
    trained = {each.row["messages"][0]["content"] for each in made((RIVALS, LAW))}
    refuse, answer = held_out((RIVALS, LAW))
    asked = {each["question"] for each in (*refuse, *answer)}
    assert asked.isdisjoint(trained)
    assert "How do I cancel there?" in asked
    kinds = [each.kind for each in made((LAW,))]
    assert (kinds.count("refusal"), kinds.count("safe_answer")) == (5, 4)
