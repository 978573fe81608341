"""`modiste models export`, `card` and `extend-vocab`, as people type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
import torch

import modiste as package
from modiste import settings
from modiste.actions import models
from modiste.cli import models_export
from modiste.errors import InvalidInput
from modiste.nn import proof
from modiste.nn.adapter_io import save_peft
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.store.tables import JobRow
from modiste.types import CheckedForm, FormStatus, Parity

TINY = Path(package.__file__).parent / "bases" / "tiny"


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 256, generator=generator), torch.randn(256, 2, generator=generator)
    save_peft(
        tmp_path / "mine",
        {f"model.layers.{i}.self_attn.q_proj": (a * 0.1, b * 0.1) for i in range(8)},
        rank=2,
        scaling=1.0,
        targets=["q_proj"],
        base="modiste-tiny",
    )
    return tmp_path / "mine"


def test_folders_are_exported_without_a_server(modiste, tmp_path, adapter) -> None:
    out = tmp_path / "out"
    said = modiste("models", "export", "--base", TINY, "--adapter", adapter, "-o", out)
    assert said.code == 0, said.err
    assert "Verified with peft" in " ".join(said.err.split())
    assert "README.md" in {path.name for path in out.iterdir()}


def test_json_tells_files_and_proof(modiste, tmp_path, adapter) -> None:
    out = tmp_path / "out"
    command = ["models", "export", "--form", "merged", "--base", TINY, "--adapter", adapter]
    told = json.loads(modiste(*command, "-o", out, "--json").out)
    assert told["form"] == "merged"
    assert told["verified"]["max_abs_diff"] <= told["verified"]["tolerance"]
    assert str(out / "model.safetensors") in told["files"]


def test_a_base_of_the_server_becomes_a_gguf_file(modiste, tmp_path) -> None:
    pytest.importorskip("gguf", reason="GGUF needs the extra modiste[gguf]")
    out = tmp_path / "out"
    command = ["models", "export", "modiste-tiny", "--form", "gguf", "--gguf-numbers", "q8_0"]
    said = modiste(*command, "-o", out, "--no-verify")
    assert said.code == 0, said.err
    assert "Not verified: not asked for" in " ".join(said.err.split())
    assert [path.suffix for path in sorted(out.iterdir())] == [".md", ".gguf"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["modiste-tiny"], "where to? Give a new folder with -o DIR"),
        (["-o", "x"], "give a model of the server, or --base DIR with --adapter DIR"),
        (["modiste-tiny", "--adapter", "a", "-o", "x"], "not both"),
        (["modiste-tiny", "--form", "onnx", "-o", "x"], "form is 'onnx', expected peft"),
        (["modiste-tiny", "-o", "x"], "is a whole model without an adapter"),
    ],
)
def test_what_is_missing_or_wrong_is_said(modiste, arguments, told) -> None:
    result = modiste("models", "export", *arguments)
    assert result.code == 2
    assert told in " ".join(result.err.split())


def test_a_base_gets_more_tokens(modiste, tmp_path) -> None:
    said = modiste("models", "extend-vocab", TINY, "--size", "4200", "-o", tmp_path / "wide")
    assert said.code == 0, said.err
    assert "4,096 tokens became 4,200" in " ".join(said.err.split())
    assert json.loads((tmp_path / "wide" / "config.json").read_text())["vocab_size"] == 4200


def test_a_base_has_no_card_of_ours(modiste) -> None:
    result = modiste("models", "card", "modiste-tiny")
    assert result.code != 0
    assert "is a base model" in result.err


@pytest.mark.parametrize("name", ["../../.profile", "/etc/passwd", "..", "a/b", ""])
def test_a_server_cannot_have_files_written_elsewhere(tmp_path, name) -> None:
    listed = {"model": "ft:x", "data": [{"name": name, "size_bytes": None}]}
    with pytest.raises(InvalidInput, match="no file name"):
        models_export._fetched(None, listed, tmp_path / "model", print)  # type: ignore[arg-type]
    assert list((tmp_path / "model").iterdir()) == []


@pytest.fixture
def tuned(modiste, adapter: Path, training_file: Path, home: Path) -> str:
    """A model of the server with that adapter; nothing was trained."""
    command = ["jobs", "create", "--model", "modiste-tiny", "--file", training_file, "--json"]
    job = modiste(*command).json
    database = Database(settings.load({"home": home}, environment={}))
    files = {path.name: database.blobs.put_file(path).sha256 for path in adapter.iterdir()}
    live = CheckedForm("bf16", FormStatus.PASSED, "through the live engine", live=True)
    parity = Parity(True, 8, 100, 1e-5, 1e-6, 1e-3, 0.5, "Served as trained.", forms=(live,))
    with database.transaction() as tx:
        row = tx.session.scalars(sa.select(JobRow).where(JobRow.id == job["id"])).one()
        made = models.register(tx, row, adapter=adapter_of(files), parity=parity)
    database.close()
    return made.id


def test_an_export_of_the_servers_model_is_kept_in_its_certificate(
    modiste, tuned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = modiste("models", "show", tuned)
    assert "certificate  Served as trained." in shown.out
    assert "passed; through the live engine" in shown.out
    assert "parity" not in modiste("models", "show", "modiste-tiny", "--json").json

    export = ["models", "export", tuned, "--form", "merged", "-o"]
    assert modiste(*export, tmp_path / "one").code == 0
    forms = modiste("models", "show", tuned, "--json").json["parity"]["forms"]
    assert [(form["name"], form["status"]) for form in forms] == [
        ("bf16", "passed"),
        ("export: merged", "passed"),
    ]
    assert "verified with transformers" in forms[1]["message"]

    assert modiste(*export, tmp_path / "two", "--no-verify").code == 0
    again = modiste("models", "show", tuned, "--json").json["parity"]["forms"]
    assert again == forms, "what was not compared takes the place of no proof"

    wrong = proof.Apart("read with a wrong reader, logits are up to 3 apart")
    monkeypatch.setattr(proof, "compare", lambda *_, **__: wrong)
    assert modiste(*export, tmp_path / "three").code != 0
    told = modiste("models", "show", tuned).out
    assert "NOT WITHIN TOLERANCE; by the client that exported it: The export to merged" in told
