from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.mysql.values import Binary, as_text, text_row
from modiste.sql.result import Column


def test_text_is_what_mysql_would_print() -> None:
    east = datetime(2026, 1, 1, 3, tzinfo=timezone(timedelta(hours=3)))
    given = (None, "é", b"\xff", True, False, 10**30, 1e-7, Decimal("1.50"), east)
    told = ["é", b"\xff", "1", "0", str(10**30), "1e-07", "1.50", "2026-01-01 00:00:00"]
    written = [each if isinstance(each, bytes) else each.encode() for each in told]
    assert text_row(given) == b"\xfb" + b"".join(bytes((len(w),)) + w for w in written)


def test_numbers_that_do_not_fit_are_refused_by_column() -> None:
    row = Binary([Column("n", "integer")]).row
    assert row((-1,)) == b"\0\0" + b"\xff" * 8
    for wrong in (2**63, "x"):
        with pytest.raises(SqlError, match="column 'n'"):
            row((wrong,))


def test_nulls_are_counted_from_the_third_bit() -> None:
    columns = [Column(str(at)) for at in range(7)]
    assert Binary(columns).row((None,) * 7) == b"\0\xfc\x01"


def test_times_have_microseconds_only_where_there_are_any() -> None:
    row = Binary([Column("t", "timestamp")]).row
    assert len(row((datetime(2026, 1, 1, tzinfo=UTC),))) == 2 + 8
    assert len(row((datetime(2026, 1, 1, microsecond=1),))) == 2 + 12
    assert as_text(datetime(2026, 1, 1, microsecond=1)) == b"2026-01-01 00:00:00.000001"
