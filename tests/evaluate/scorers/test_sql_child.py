"""The program that runs queries, asked in this process where its limits are not set."""

import sys
from pathlib import Path

import modiste.evaluate.scorers

sys.path.insert(0, str(Path(modiste.evaluate.scorers.__path__[0])))
try:
    import sql_child
finally:
    sys.path.pop(0)


def test_numbers_are_equal_to_nine_digits_and_rows_in_any_order() -> None:
    right = [tuple(map(sql_child.plain, row)) for row in [(0.1 + 0.2, "a"), (1, None)]]
    said = [tuple(map(sql_child.plain, row)) for row in [(1.0, None), (0.3, "a")]]
    assert sql_child.same(right, said, ordered=False)
    assert not sql_child.same(right, said, ordered=True)
    assert not sql_child.same(right, [*said, said[0]], ordered=False)


def test_an_aggregate_over_nothing_tells_nothing() -> None:
    assert not sql_child.tells([])
    assert not sql_child.tells([(None, 0.0)])
    assert sql_child.tells([(None,), (None,)])
    assert sql_child.tells([("",)])


def test_the_database_that_tells_two_queries_apart_ends_it() -> None:
    request = {
        "schema": "CREATE TABLE t (a INTEGER)", "inserts": None, "seed": "s", "fills": 5,
        "ordered": False, "limit_s": 5, "right": "SELECT a FROM t", "said": "SELECT a + 1 FROM t",
    }  # fmt: skip
    told = sql_child.answer(request)
    assert (told["same"], told["fills"]) == (False, 1)
    assert told["right_rows"][0][0] + 1 == told["said_rows"][0][0]
    alike = sql_child.answer({**request, "said": "SELECT a FROM t WHERE 1"})
    assert alike == {"same": True, "fills": 5, "telling": True}
