"""Every request that docs/endpoints.md shows is sent to a real server, and answered."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "endpoints.md").read_text(encoding="utf-8")
REQUESTS = re.findall(r"`POST (/v1/\S+)`\n\n```json\n(.*?)\n```", PAGE, flags=re.DOTALL)


def test_every_request_of_the_page_is_answered(request: pytest.FixtureRequest) -> None:
    assert len(REQUESTS) == PAGE.count("```json") >= 7
    served = request.getfixturevalue("served")
    headers = {"authorization": f"Bearer {served.key}"}
    for path, body in REQUESTS:
        answer = httpx.post(served.url + path, headers=headers, json=json.loads(body), timeout=60)
        assert answer.status_code == 200, f"{path} {body}: {answer.text}"


def test_every_route_of_the_table_exists() -> None:
    from modiste.api.app import build_app
    from modiste.settings import Settings

    routes = set(build_app(Settings()).openapi()["paths"])
    named = set(re.findall(r"`(/v1/\w+(?:/\w+)?)`", PAGE.split("## ")[0]))
    assert len(named) == 8
    assert named <= routes
