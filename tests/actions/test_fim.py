"""Who may ask for a middle, and of what."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from modiste.actions import fim
from modiste.actions.fim import Gap
from modiste.actions.inference import Renderers, Serving
from modiste.errors import Forbidden, InvalidInput, NotFound
from modiste.store.database import Database
from modiste.types import Actor, Scope

from .engines import Engine


def test_a_key_a_name_and_a_base_that_will_not_do_are_refused_before_the_engine(
    database: Database, admin: Actor
) -> None:
    engine = Engine(lambda request: [])
    serving = Serving(database, engine, Renderers())  # type: ignore[arg-type]
    stranger = replace(admin, scopes=frozenset({Scope.DATA}))
    with pytest.raises(Forbidden, match="infer"):
        asyncio.run(fim.begin(serving, stranger, Gap("modiste-tiny", "x")))
    with pytest.raises(NotFound, match="modiste models add"):
        asyncio.run(fim.begin(serving, admin, Gap("codestral-latest", "x")))
    with pytest.raises(InvalidInput, match="its tokenizer has no tokens for it") as told:
        asyncio.run(fim.begin(serving, admin, Gap("modiste-tiny", "x")))
    assert told.value.error_code == "fim_unknown"
    assert engine.asked == []
