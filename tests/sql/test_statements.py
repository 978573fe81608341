"""Every statement has a word to answer with, and is done."""

from modiste.sql import statements
from modiste.sql.execute import DO

KINDS = sorted(
    (kind for kind in vars(statements).values()
     if isinstance(kind, type) and issubclass(kind, statements.Statement)
     and kind is not statements.Statement),
    key=lambda kind: kind.__name__,
)  # fmt: skip


def test_every_statement_that_is_read_is_done() -> None:
    assert {kind.__name__ for kind in KINDS} == {kind.__name__ for kind in DO}
    assert all(kind.tag for kind in KINDS if kind is not statements.Transaction)
