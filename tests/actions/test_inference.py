"""What every inference begins with, and what is refused there."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import modiste
from modiste.actions import inference, models, upstreams
from modiste.actions.inference import Renderers, Serving
from modiste.actions.upstreams import Hosted
from modiste.errors import BadRequest
from modiste.prepare import render
from modiste.serve.sequence import Generate, Sampling
from modiste.store.database import Database
from modiste.types import Actor, Model, Scope, Upstream, UpstreamKind

from .engines import Engine, says


def test_a_renderer_is_loaded_once_per_base(
    database: Database, admin: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.transaction(write=False) as tx:
        base = Path(models.get(tx, admin, "modiste-tiny").path)
    loaded: list[Path] = []
    really = render.load

    def load(path: Path) -> render.Renderer:
        loaded.append(path)
        return really(path)

    monkeypatch.setattr(render, "load", load)

    async def many() -> None:
        renderers = Renderers()
        found = await asyncio.gather(*(renderers.get(base) for _ in range(5)))
        assert all(each is found[0] for each in found)

    asyncio.run(many())
    assert loaded == [base]


def test_a_model_that_the_engine_cannot_compute_is_refused_with_a_way_out(
    database: Database, admin: Actor, random_base: Callable[..., Path], tmp_path: Path
) -> None:
    made = random_base("gemma2", vocab_size=4096, head_dim=12)
    base = Path(shutil.copytree(made, tmp_path / "base"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(Path(modiste.__file__).parent / "bases" / "tiny" / name, base / name)
    models.add_base(database, admin, name="other", path=str(base))
    serving = Serving(database, Engine(says((1,))), Renderers())  # type: ignore[arg-type]
    with pytest.raises(BadRequest, match="other is not served here: model_type 'gemma2'") as told:
        asyncio.run(inference.find(serving, admin, "other"))
    assert told.value.error_code == "model_not_served"
    assert "modiste models export other --form merged" in told.value.message


def test_a_base_outside_our_families_is_served_by_the_server_it_was_given(
    database: Database, admin: Actor, random_base: Callable[..., Path], tmp_path: Path
) -> None:
    made = random_base("gemma2", vocab_size=4096, head_dim=12)
    base = Path(shutil.copytree(made, tmp_path / "base"))
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(Path(modiste.__file__).parent / "bases" / "tiny" / name, base / name)
    there = Upstream(UpstreamKind.VLLM, "http://127.0.0.1:8000")
    models.add_base(
        database, admin, name="other", path=str(base), served_by=there, context_there=64
    )
    serving = Serving(database, Engine(says((1,))), Renderers())

    async def found() -> Generate:
        served = await inference.find(serving, admin, "other")
        return await inference.prompt(serving, served, [1, 2], Sampling(), param="messages")

    request = asyncio.run(found())
    assert (request.upstream, request.base) == (there, str(base))
    assert request.sampling.max_tokens == 62
    models.add_base(database, admin, name="other", path=str(base))
    with pytest.raises(BadRequest, match="--served-by"):
        asyncio.run(inference.find(serving, admin, "other"))


def test_a_model_is_known_wherever_it_is_computed(database: Database, admin: Actor) -> None:
    def known(name: object, actor: Actor = admin) -> Model | None:
        return asyncio.run(inference.known(database, actor, name))

    with database.transaction() as tx:
        big = upstreams.add(tx, admin, Hosted("big", "https://api.openai.com/v1"))
    tiny = known("modiste-tiny")
    assert tiny is not None
    assert (tiny.id, known("big")) == ("modiste-tiny", big)
    assert [known(name) for name in ("not-there", None, 3)] == [None] * 3
    assert known("big", replace(admin, scopes=frozenset({Scope.DATA}))) is None
    with database.transaction() as tx:
        models.delete(tx, admin, "big")
    assert known("big") is None
