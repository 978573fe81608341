"""Certificates: kept whole, those of older versions readable, exports beside what decided."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from modiste.actions import certificates, exports
from modiste.errors import Forbidden, InvalidInput, NotFound
from modiste.settings import ServeLinear
from modiste.store.database import Database
from modiste.store.tables import ModelRow
from modiste.types import (
    Actor,
    CheckedForm,
    File,
    FormStatus,
    Greedy,
    LossPair,
    Model,
    Parity,
    Parting,
)

LIVE = CheckedForm(
    "bf16",
    FormStatus.PASSED,
    "through the live engine: near",
    live=True,
    greedy=Greedy(4, 64, (Parting(1, 3, 5, None, 1e-4, by_rounding=True),)),
    loss=LossPair(0.5, 0.5001, 80, 0.005),
)
FP32 = CheckedForm("fp32", FormStatus.PASSED, "near")
INT8 = CheckedForm("int8", FormStatus.APART, "far")
OLD = {
    "passed": True,
    "n_rows": 8,
    "n_tokens": 100,
    "max_abs_logprob_diff": 1e-5,
    "mean_abs_logprob_diff": 1e-6,
    "tolerance": 1e-3,
    "base_gap": 0.5,
    "message": "Served as trained: 8 rows.",
}
"""As it was written before forms, and before `served`."""


def do(database: Database, verb: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with database.transaction() as tx:
        return verb(tx, *args, **options)


@pytest.fixture
def tuned(upload: Callable[..., File], tune: Callable[..., Model], database: Database) -> Model:
    turns = [("user", "a"), ("assistant", "Yes.")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    model = tune(upload(row))
    assert model.parity is not None
    parity = replace(model.parity, forms=(LIVE, FP32, INT8))
    with database.transaction() as tx:
        stored = tx.session.get(ModelRow, model.id)
        assert stored is not None
        stored.parity = parity
    return model


def test_a_certificate_comes_back_as_it_was_stored(
    database: Database, admin: Actor, tuned: Model
) -> None:
    found = do(database, certificates.get, admin, tuned.id)
    assert found.parity.forms == (LIVE, FP32, INT8)
    assert found.warning is None, "serve_linear is auto, and exact is near"


def test_one_of_an_older_version_is_read(database: Database, admin: Actor, tuned: Model) -> None:
    with database.transaction() as tx:
        update = sa.text("UPDATE models SET parity = :old WHERE id = :id")
        tx.session.execute(update, {"old": json.dumps(OLD), "id": tuned.id})
    found = do(database, certificates.get, admin, tuned.id)
    assert (found.parity.served, found.parity.forms, found.warning) == (True, (), None)
    assert certificates.lines(found) == ["Served as trained: 8 rows."]


@pytest.mark.parametrize(
    ("linear", "status", "says"),
    [
        (ServeLinear.INT8, FormStatus.APART, "in int8 this model is not within tolerance"),
        (ServeLinear.INT8, FormStatus.NOT_CHECKED, "in int8 this model was not checked"),
        (ServeLinear.INT8, FormStatus.PASSED, None),
        (ServeLinear.AUTO, FormStatus.APART, None),
        (ServeLinear.BF16, FormStatus.APART, None),
    ],
)
def test_a_server_that_went_on_in_another_precision_is_warned_about(
    linear: ServeLinear, status: FormStatus, says: str | None
) -> None:
    parity = Parity(**OLD, forms=(LIVE, FP32, replace(INT8, status=status)))
    told = certificates.warning_of(parity, linear)
    assert told is None if says is None else says in (told or "")


def test_what_is_not_served_is_not_warned_about() -> None:
    parity = Parity(**OLD, served=False, forms=(INT8,))
    assert certificates.warning_of(parity, ServeLinear.INT8) is None


def test_an_export_is_kept_once_per_form_and_says_who_found_it(
    database: Database, admin: Actor, tuned: Model
) -> None:
    proof = {"form": "gguf", "numbers": "f16", "status": FormStatus.APART, "note": "wrong"}
    do(database, certificates.record_export, admin, tuned.id, **proof)
    again = {**proof, "status": FormStatus.PASSED, "note": "verified with gguf 0.10"}
    do(database, certificates.record_export, admin, tuned.id, **again)
    other = {**again, "numbers": "q8_0"}
    do(database, certificates.record_export, admin, tuned.id, **other)
    found = do(database, certificates.get, admin, tuned.id).parity
    assert found.forms[:3] == (LIVE, FP32, INT8)
    assert [(f.name, f.status.value) for f in found.forms[3:]] == [
        ("export: gguf f16", "passed"),
        ("export: gguf q8_0", "passed"),
    ]
    assert found.forms[3].message == "by the client that exported it: verified with gguf 0.10"
    assert found.forms[3].at is not None


def test_the_card_has_a_line_for_each_form(database: Database, admin: Actor, tuned: Model) -> None:
    said = do(database, exports.facts, admin, tuned.id).parity
    assert said is not None
    assert "- bf16: within tolerance, through the live engine: near" in said
    assert "- int8: NOT within tolerance, far" in said


def test_what_no_job_made_has_no_certificate(database: Database, admin: Actor) -> None:
    with pytest.raises(NotFound, match="only what a job made has one"):
        do(database, certificates.get, admin, "modiste-tiny")


def test_who_may_not_train_adds_nothing(database: Database, admin: Actor, tuned: Model) -> None:
    reader = replace(admin, scopes=frozenset())
    proof = {"form": "peft", "numbers": None, "status": FormStatus.PASSED, "note": "fine"}
    with pytest.raises(Forbidden):
        do(database, certificates.record_export, reader, tuned.id, **proof)
    with pytest.raises(Forbidden, match="base model"):
        do(database, certificates.record_export, admin, "modiste-tiny", **proof)
    with pytest.raises(InvalidInput, match="0 characters, expected 1 to 2000"):
        do(database, certificates.record_export, admin, tuned.id, **{**proof, "note": ""})
