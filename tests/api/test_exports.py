"""Models' files and cards over HTTP."""

from __future__ import annotations

from pathlib import Path

import httpx

import modiste

TINY = Path(modiste.__file__).parent / "bases" / "tiny"


def test_files_are_listed_and_come_as_they_are(mistral: httpx.Client) -> None:
    listed = mistral.get("/v1/models/modiste-tiny/files").json()
    assert (listed["model"], listed["base"], listed["whole"]) == ("modiste-tiny", None, True)
    sizes = {file["name"]: file["size_bytes"] for file in listed["data"]}
    answer = mistral.get("/v1/models/modiste-tiny/files/config.json")
    assert answer.content == (TINY / "config.json").read_bytes()
    assert sizes["config.json"] == len(answer.content)


def test_what_is_not_listed_is_not_there(mistral: httpx.Client) -> None:
    for name in ("MODEL_CARD.md", "..%2F..%2Fpy.typed", "nothing"):
        assert mistral.get(f"/v1/models/modiste-tiny/files/{name}").status_code == 404
    assert mistral.get("/v1/models/nothing/files").status_code == 404


def test_a_base_has_no_card(mistral: httpx.Client) -> None:
    answer = mistral.get("/v1/models/modiste-tiny/card")
    assert answer.status_code == 400
    assert "is a base model" in answer.text


def test_models_keep_their_own_routes(mistral: httpx.Client) -> None:
    assert mistral.get("/v1/models/modiste-tiny").json()["id"] == "modiste-tiny"
