"""Which dialect a request speaks; the HTTP tests of jobs show the effect."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from modiste.api import dialect
from modiste.api.dialect import Dialect


def request(path: str = "/v1/fine_tuning/jobs", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "path": path, "headers": raw, "state": {}})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Dialect.MISTRAL),
        ({"user_agent": "mistral-client-python/2.5.0"}, Dialect.MISTRAL),
        ({"user_agent": "python-requests/2.32 OpenAI/Python"}, Dialect.MISTRAL),
        ({"user_agent": "OpenAI/Python 3.52.0"}, Dialect.OPENAI),
        ({"user_agent": "AsyncOpenAI/Python 3.52.0"}, Dialect.OPENAI),
        ({"user_agent": "x", "x_stainless_os": "Linux"}, Dialect.OPENAI),
    ],
)
def test_headers_decide_where_the_path_does_not(headers: dict[str, str], expected: Dialect) -> None:
    assert dialect.of(request(**headers)) is expected


def test_the_path_decides_against_the_headers() -> None:
    assert dialect.of(request("/openai/v1/files")) is Dialect.OPENAI
    openai = {"user_agent": "OpenAI/Python 3.52.0"}
    assert dialect.of(request("/mistral/v1/files", **openai)) is Dialect.MISTRAL


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"training_file": "f"}, Dialect.OPENAI),
        ({"training_file": "f", "training_files": []}, Dialect.MISTRAL),
        ({"training_files": ["f"]}, Dialect.MISTRAL),
        (["training_file"], Dialect.MISTRAL),
        (None, Dialect.MISTRAL),
    ],
)
def test_a_body_decides_last_and_its_errors_stay_in_the_dialect(
    body: object, expected: Dialect
) -> None:
    asked = request()
    assert dialect.switch(asked, body) is expected
    assert dialect.of(asked) is expected


def test_a_body_does_not_decide_against_the_path() -> None:
    asked = request("/mistral/v1/fine_tuning/jobs")
    assert dialect.switch(asked, {"training_file": "f"}) is Dialect.MISTRAL


@pytest.mark.parametrize(
    ("agent", "old", "closed"),
    [
        ("mistral-client-python/0.4.2", True, True),
        ("mistral-client-python/1.0.3", False, True),
        ("mistral-client-python/1.1.0", False, True),
        ("mistral-client-python/1.12.4", False, False),
        ("mistral-client-python/2.5.0", False, False),
    ],
)
def test_generations_are_told_apart(agent: str, old: bool, closed: bool) -> None:
    assert dialect.is_mistral_0(request(user_agent=agent)) is old
    assert dialect.has_closed_enums(request(user_agent=agent)) is closed


@pytest.mark.parametrize(
    ("agent", "knows"),
    [
        ("mistral-client-python/0.4.2", False),
        ("mistral-client-python/1.2.6", False),
        ("mistral-client-python/1.9.11", False),
        ("mistral-client-python/1.10.1", True),
        ("mistral-client-python/1.12.4", True),
        ("mistral-client-python/2.5.0", True),
        ("curl/8", True),
    ],
)
def test_clients_from_before_thoughts_are_known(agent: str, knows: bool) -> None:
    assert dialect.knows_no_thoughts(request(user_agent=agent)) is not knows
