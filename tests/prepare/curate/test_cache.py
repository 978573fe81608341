from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import Conflict
from modiste.prepare.curate.cache import Cache
from modiste.prepare.curate.stage import Corpus, Outcome

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def _made(cache: Cache, corpus: Corpus, key: str = "merge-1") -> None:
    cache.make(key, Outcome(corpus, {}), report=lambda parts: {"rows": parts["data"]["rows"]})


def test_an_entry_is_found_again_with_its_rows_and_report(
    tmp_path: Path, corpus: Rows, chat: Chat
) -> None:
    cache = Cache(tmp_path / "cache")
    source = corpus([chat("a"), chat("b")])
    with cache.held():
        assert cache.find("merge-1") is None
        _made(cache, source)
        found = cache.find("merge-1")
    assert found is not None
    assert found.report == {"rows": 2}
    assert found.parts["data"].rows.read_bytes() == source.path.read_bytes()
    assert found.parts["data"].files == ("rows.jsonl",)


def test_an_entry_whose_bytes_changed_is_not_believed(
    tmp_path: Path, corpus: Rows, chat: Chat
) -> None:
    cache = Cache(tmp_path / "cache")
    with cache.held():
        _made(cache, corpus([chat("a")]))
        (tmp_path / "cache" / "merge-1" / "data.jsonl").write_text("{}\n")
        assert cache.find("merge-1") is None
        _made(cache, corpus([chat("a")]))
        assert cache.find("merge-1") is not None


def test_what_a_killed_run_left_is_removed_and_never_taken_for_an_entry(tmp_path: Path) -> None:
    left = tmp_path / "cache" / ".merge-1.tmp"
    left.mkdir(parents=True)
    (left / "entry.json").write_text("{}")
    cache = Cache(tmp_path / "cache")
    with cache.held():
        assert cache.find("merge-1") is None
        assert not left.exists()


def test_one_run_at_a_time_has_the_cache(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "out" / "cache")

    def again() -> None:
        with Cache(cache.folder).held():
            pass

    with cache.held(), pytest.raises(Conflict, match="another run is at work in"):
        again()
    again()


def test_entries_nobody_uses_can_be_forgotten(tmp_path: Path, corpus: Rows, chat: Chat) -> None:
    cache = Cache(tmp_path / "cache")
    with cache.held():
        _made(cache, corpus([chat("a")]), "merge-1")
        _made(cache, corpus([chat("a")]), "merge-2")
        cache.keep_only({"merge-2"})
        assert cache.find("merge-1") is None
        assert cache.find("merge-2") is not None
