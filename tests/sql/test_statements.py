"""Every statement has a word to answer with, and is either done or refused by it."""

import pytest

from modiste.sql import statements
from modiste.sql.errors import SqlError
from modiste.sql.execute import DO

KINDS = sorted(
    (kind for kind in vars(statements).values()
     if isinstance(kind, type) and issubclass(kind, statements.Statement)
     and kind is not statements.Statement),
    key=lambda kind: kind.__name__,
)  # fmt: skip
REFUSED = {
    "EVALUATE": "EVALUATE f FROM (SELECT 1)",
}  # fmt: skip


def test_what_is_not_done_is_known() -> None:
    assert {kind.tag for kind in KINDS if kind not in DO} == set(REFUSED)


@pytest.mark.parametrize("tag", REFUSED)
def test_what_is_not_there_is_refused_by_name(speaker, tag: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SqlError, match=f"{tag}: not supported yet") as refused:
        speaker(REFUSED[tag])
    assert (refused.value.code, refused.value.sqlstate) == (1235, "0A000")
