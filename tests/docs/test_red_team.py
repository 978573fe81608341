"""What docs/red-team.md shows is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from modiste.api.chat_shapes import ChatRequest
from modiste.evaluate.redteam.spec import Objective, RedTeam, built, shipped
from modiste.evaluate.redteam.techniques import TECHNIQUES, usual
from modiste.moderate.policy import read

PAGE = (Path(__file__).parents[2] / "docs" / "red-team.md").read_text(encoding="utf-8")
TEAM, OBJECTIVES, POLICY, GARAK = (
    yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
)


def test_the_files_of_the_page_are_what_it_says() -> None:
    attacks, twins = built(RedTeam.model_validate(TEAM))
    assert twins is not None
    assert f"all                      0/{len(attacks.rows)} " in PAGE
    assert f"all                 0/{len(twins.rows)} " in PAGE
    assert Objective.model_validate(OBJECTIVES["objectives"][0]).secret
    assert read(yaml.safe_dump(POLICY), file="policy.yaml").name == "canaries"
    assert len(shipped()) == 5


def test_every_technique_stands_on_the_page() -> None:
    assert all(f"`{name}`" in PAGE for name in TECHNIQUES)
    assert set(TECHNIQUES) - set(usual(attacker=False)) == {"tool_result", "turns"}


def asked_by_garak(options: dict[str, Any]) -> dict[str, Any]:
    """The body that garak 0.16's OpenAI-compatible generator sends under these options: its
    defaults (its documentation), less what is suppressed or None."""
    defaults = {
        "temperature": 0.7, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0,
        "seed": None, "stop": ["#", ";"], "max_tokens": 150, "n": 1,
    }  # fmt: skip
    said = {name: options.get(name, value) for name, value in defaults.items()}
    left = {
        name: value
        for name, value in said.items()
        if value is not None and name not in options["suppressed_params"]
    }
    return {"model": "modiste-tiny", "messages": [{"role": "user", "content": "Hi"}], **left}


def test_garaks_configuration_asks_what_the_endpoint_takes() -> None:
    options = GARAK["plugins"]["generators"]["openai"]["OpenAICompatible"]
    assert GARAK["plugins"]["target_type"] == "openai.OpenAICompatible"
    assert options["uri"].endswith("/v1/")
    body = asked_by_garak(options)
    assert "stop" not in body
    ChatRequest.model_validate(body)
    with pytest.raises(ValidationError):
        ChatRequest.model_validate({**body, "no_such_field": 1})
