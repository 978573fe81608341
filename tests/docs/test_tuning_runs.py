"""What docs/tuning-runs.md says of notifications: its settings load, its receiver checks."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modiste import settings as settings_module
from modiste.actions import notices
from modiste.work import webhook

PAGE = (Path(__file__).parents[2] / "docs" / "tuning-runs.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Who is told when it has ended")[1]


def block(kind: str) -> str:
    (found,) = re.findall(rf"^```{kind}\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)
    return str(found)


def test_the_settings_of_the_page_are_taken(tmp_path: Path) -> None:
    (tmp_path / "modiste.yaml").write_text(block("yaml"))
    loaded = settings_module.load({"home": tmp_path}, environment={})
    assert len(loaded.told) == 3
    assert loaded.webhook_key == b"0123456789abcdef0123456789abcdef"


def test_the_receiver_of_the_page_takes_what_is_signed_and_nothing_else() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    checked: Callable[[dict[str, str], bytes, str], bool] = names["checked"]
    key = bytes(range(32))
    secret = "whsec_" + base64.b64encode(key).decode()
    signed = webhook.signature(key, "msg_1", datetime.now(UTC), b"body")
    assert checked(signed, b"body", secret)
    assert not checked(signed, b"changed", secret)
    assert not checked(signed, b"body", "whsec_" + base64.b64encode(b"x" * 32).decode())
    old = webhook.signature(key, "msg_1", datetime(2026, 1, 1, tzinfo=UTC), b"body")
    assert not checked(old, b"body", secret)


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    hours = round(sum(notices.RETRY_AFTER_S) / 3600)
    assert f"tried {notices.MOST_ATTEMPTS} times over {hours} hours" in SECTION
    assert f"2xx within {webhook.TIMEOUT_S:.0f} s" in SECTION
