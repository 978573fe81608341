"""The parity certificate of a model: read, warned about, and added to by those who export it.

What decided whether the model was published stands first and never changes. Exports are made where
the owner wants the files, so what was found in them is told from there, and the entry says so.
"""

from __future__ import annotations

from typing import NamedTuple

from modiste.actions import models
from modiste.errors import InvalidInput, NotFound
from modiste.settings import ServeLinear
from modiste.store.database import Tx
from modiste.types import Actor, CheckedForm, FormStatus, Model, Parity

MOST_CHARACTERS = 2000
"""Of what an export says."""
SHOWN = {FormStatus.PASSED: "within tolerance", FormStatus.APART: "NOT within tolerance"}


class Certificate(NamedTuple):
    model: Model
    parity: Parity
    warning: str | None
    """Why the way the model is served now is not the way that was proved."""


def get(tx: Tx, actor: Actor, model_id: str) -> Certificate:
    """
    Raises:
        NotFound: no such model, or one that no job made.
    """
    return _certificate(tx, models.get(tx, actor, model_id))


def record_export(
    tx: Tx,
    actor: Actor,
    model_id: str,
    *,
    form: str,
    numbers: str | None,
    status: FormStatus,
    note: str,
) -> Certificate:
    """Keep what was found in an export, in place of an earlier one of the same form.

    Args:
        numbers: what GGUF stores matrices in.
        note: what was compared, and what came out.

    Raises:
        NotFound: no such model, or no certificate. InvalidInput: `note` is too long or empty.
    """
    if not 0 < len(note) <= MOST_CHARACTERS:
        raise InvalidInput(
            f"note has {len(note)} characters, expected 1 to {MOST_CHARACTERS}", param="note"
        )
    name = " ".join(["export:", form, *([numbers] if numbers else [])])
    entry = CheckedForm(name, status, f"by the client that exported it: {note}", at=tx.now())
    return _certificate(tx, models.keep_form(tx, actor, model_id, entry))


def _certificate(tx: Tx, model: Model) -> Certificate:
    if model.parity is None:
        raise NotFound(
            f"{model.id} has no parity certificate: only what a job made has one.",
            param="model",
            code="no_certificate",
        )
    warning = None if model.upstream else warning_of(model.parity, tx.settings.serve_linear)
    return Certificate(model, model.parity, warning)


def warning_of(parity: Parity, linear: ServeLinear) -> str | None:
    """What is to be said of a model that the built-in engine serves with `serve_linear`.

    `auto` is exact, and has the bits of fp32 however the base is kept.
    """
    if not parity.served or not parity.forms:
        return None
    name = "fp32" if linear is ServeLinear.AUTO else linear.value
    form = next((each for each in parity.forms if each.name == name), None)
    if form is None or form.status is FormStatus.PASSED:
        return None
    found = "is not within tolerance" if form.status is FormStatus.APART else "was not checked"
    return f"serve_linear is {linear.value} now, and in {name} this model {found}."


def lines(found: Certificate) -> list[str]:
    """The certificate as people read it, one line for each form."""
    told = [found.parity.message]
    told += [
        f"{form.name}: {f'{SHOWN[form.status]}, ' if form.status in SHOWN else ''}{form.message}"
        for form in found.parity.forms
    ]
    return told if found.warning is None else [*told, f"Warning: {found.warning}"]
