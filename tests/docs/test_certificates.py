"""docs/certificates.md states the bounds that are held."""

from __future__ import annotations

import re
from pathlib import Path

from modiste.api.app import build_app
from modiste.settings import Settings
from modiste.work import closeness, parity, training_rows

PAGE = (Path(__file__).parents[2] / "docs" / "certificates.md").read_text(encoding="utf-8")


def test_the_tolerances_of_the_page_are_those_that_are_held() -> None:
    rows = re.findall(r"^\| .*`(\w+)`.* \| ([\d.]+) \| ([\d.]+) \|$", PAGE, re.MULTILINE)
    stated = [(float(mean), float(largest)) for _, mean, largest in rows]
    held = (closeness.EXACT, closeness.ROUNDED["bf16"], closeness.ROUNDED["int8"])
    assert stated == [(each.mean, each.largest) for each in held]
    assert closeness.ELSEWHERE[:2] == closeness.ROUNDED["bf16"][:2]
    assert f"({2 * closeness.EXACT.largest:g})" in PAGE
    assert (closeness.LOSS_SHARE, closeness.GAP_SHARE) == (0.01, 0.1)
    assert "within 1 %" in PAGE
    assert "under a tenth" in PAGE


def test_the_limits_of_the_page_are_those_that_are_held() -> None:
    assert f"up to {training_rows.PARITY_ROWS} rows" in PAGE
    assert f"at most {training_rows.PARITY_TOKENS} tokens" in PAGE
    assert f"{training_rows.GREEDY_TOKENS} tokens behind the prompts" in PAGE
    assert f"up to {training_rows.GREEDY_ROWS} rows are equal" in PAGE
    assert f"more than {parity.MOST_PARAMETERS / 1e6:.0f} million parameters" in PAGE


def test_the_route_of_the_page_is_documented() -> None:
    paths = build_app(Settings()).openapi()["paths"]
    assert "/v1/models/{model_id}/parity" in paths
    assert "`GET /v1/models/{id}/parity`" in PAGE
