"""Replies of judges in a file: read by other processes, forgotten in time, never in the way."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from modiste.work import judge_replies
from modiste.work.judge_replies import NAME, JudgeReplies


def test_what_one_run_kept_the_next_one_reads(tmp_path: Path) -> None:
    one, other = JudgeReplies(tmp_path / "cache"), JudgeReplies(tmp_path / "cache")

    async def both() -> tuple[bytes | None, bytes | None]:
        await one.put("k", b"first")
        await other.put("k", b"second")
        return await one.get("k"), await other.get("unknown")

    assert asyncio.run(both()) == (b"second", None)
    one.close()
    other.close()
    assert (tmp_path / "cache" / NAME).stat().st_mode & 0o077 == 0


def test_old_replies_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = JudgeReplies(tmp_path)
    asyncio.run(first.put("k", b"said"))
    first.close()
    now = judge_replies.time.time() + judge_replies.KEEP_S + 1
    monkeypatch.setattr(judge_replies.time, "time", lambda: now)
    later = JudgeReplies(tmp_path)
    assert asyncio.run(later.get("k")) is None
    later.close()


def test_a_file_that_is_none_only_means_that_judges_are_asked(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"not a database, and longer than a header of one" * 100)
    replies = JudgeReplies(tmp_path)

    async def tried() -> bytes | None:
        await replies.put("k", b"said")
        return await replies.get("k")

    assert asyncio.run(tried()) is None
    replies.close()
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(tmp_path / NAME).execute("SELECT * FROM replies")
