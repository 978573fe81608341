"""Both ways of paging walk over everything once, and end."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from modiste.actions.pages import page_of
from modiste.errors import InvalidInput
from modiste.store.database import Database
from modiste.store.tables import FileRow
from modiste.types import Page


@pytest.fixture
def five(database: Database) -> Database:
    with database.transaction() as tx:
        for number in range(5):
            tx.session.add(
                FileRow(
                    **{"id": f"f{number}", "org": "0" * 8, "owner": "", "filename": f"{number}"},
                    **{"purpose": "fine-tune", "size_bytes": 1, "sha256": "f" * 64},
                    **{"created_at": tx.now(), "created_by": "k", "sample_type": "instruct"},
                    **{"source": "upload", "problems": ()},
                )
            )
    return database


def page(database: Database, **options: object) -> Page:
    with database.transaction(write=False) as tx:
        return page_of(tx, sa.select(FileRow), FileRow, **options)  # type: ignore[arg-type]


def ids(found: Page) -> list[str]:
    return [item.id for item in found.items]


def test_numbered_pages_go_from_the_newest_to_the_oldest(five: Database) -> None:
    pages = [page(five, page=number, page_size=2) for number in range(4)]
    assert [ids(found) for found in pages] == [["f4", "f3"], ["f2", "f1"], ["f0"], []]
    assert {found.total for found in pages} == {5}
    assert [found.has_more for found in pages] == [True, True, False, False]


@pytest.mark.parametrize(("order", "expected"), [("desc", "43210"), ("asc", "01234")])
def test_a_cursor_meets_every_item_once(five: Database, order: str, expected: str) -> None:
    seen: list[str] = []
    more = True
    while more:
        found = page(five, limit=2, after=seen[-1] if seen else None, order=order)
        seen += ids(found)
        more = found.has_more
    assert seen == [f"f{number}" for number in expected]


def test_a_cursor_that_is_no_item_is_refused_instead_of_starting_again(five: Database) -> None:
    with pytest.raises(InvalidInput, match="'nowhere'"):
        page(five, after="nowhere")


def test_a_cursor_still_works_when_its_item_left_the_list(five: Database) -> None:
    with five.transaction(write=False) as tx:
        shorter = sa.select(FileRow).where(FileRow.id != "f3")
        assert ids(page_of(tx, shorter, FileRow, limit=9, after="f3")) == ["f2", "f1", "f0"]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"page": -1}, "page"),
        ({"page": 10**30}, "page"),
        ({"page_size": 0}, "page_size"),
        ({"limit": 0}, "limit"),
        ({"order": "up"}, "order"),
    ],
)
def test_impossible_pages_are_refused(
    five: Database, options: dict[str, object], param: str
) -> None:
    with pytest.raises(InvalidInput) as told:
        page(five, **options)
    assert told.value.param == param
