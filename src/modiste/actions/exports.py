"""What a model consists of, for those who take it elsewhere: its files, and its card's facts.

A tuned model is an adapter (or, fully tuned, a whole model folder) kept as blobs; a base is a
folder on the server. Only names that were listed are opened. What is written from the files, and
whether it computes the same, is nn/export.py's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from modiste.actions import certificates, lineage, models
from modiste.actions.keys import require
from modiste.errors import BadRequest, NotFound
from modiste.nn.model_card import DataFile, Facts
from modiste.store.blobs import chunks_of
from modiste.store.database import Tx
from modiste.store.tables import JobRow, MetricRow
from modiste.types import Actor, Model, ModelKind, Scope

LICENSE = re.compile(r"(?i)\blicen[sc]e: *([\w.-]*\w)")
NOT_SENT = (".bin", ".pth", ".pt", ".gguf", ".md")
"""Of a base's folder: pickles, other forms, and pages about it."""


class ModelFile(NamedTuple):
    name: str
    size_bytes: int | None
    """None for blobs, whose size nobody kept."""
    sha256: str | None
    """None for the files of a base, which are not hashed."""


class ModelFiles(NamedTuple):
    model: Model
    files: tuple[ModelFile, ...]
    whole: bool
    """A complete model; otherwise an adapter that needs the base."""


def files(tx: Tx, actor: Actor, model_id: str) -> ModelFiles:
    """The files of a model.

    Raises:
        NotFound: no such model. BadRequest: it is answered by another server.
    """
    require(actor, Scope.TRAIN)
    model = models.get(tx, actor, model_id)
    if model.kind is ModelKind.HOSTED:
        raise BadRequest(
            f"{model.id} is answered by another server: there are no files of it here.",
            param="model",
            code="model_hosted",
        )
    if model.adapter is not None:
        kept = tuple(ModelFile(name, None, digest) for name, digest in model.adapter.files.items())
        return ModelFiles(model, kept, whole=model.adapter.is_whole)
    folder = Path(model.path)
    found = tuple(
        ModelFile(path.name, path.stat().st_size, None)
        for path in sorted(folder.iterdir())
        if path.is_file() and not path.name.startswith(".") and path.suffix not in NOT_SENT
    )
    return ModelFiles(model, found, whole=True)


def open_file(tx: Tx, actor: Actor, model_id: str, name: str) -> Iterator[bytes]:
    """The content of one listed file.

    Raises:
        NotFound: the model has no file of that name.
    """
    listed = files(tx, actor, model_id)
    file = next((each for each in listed.files if each.name == name), None)
    if file is None:
        known = ", ".join(each.name for each in listed.files)
        raise NotFound(f"{model_id} has no file {name!r}; it has {known}.", param="name")
    if file.sha256 is not None:
        return tx.blobs.open(file.sha256)
    return chunks_of(Path(listed.model.path) / name)


def facts(tx: Tx, actor: Actor, model_id: str) -> Facts:
    """What a card can say of a tuned model.

    Raises:
        NotFound: no such model. BadRequest: a base.
    """
    trace = lineage.trace(tx, actor, model_id)
    job = tx.session.scalars(sa.select(JobRow).where(JobRow.id == trace.job_id)).one()
    model, spec = trace.model, dict(job.spec or {})
    stale = model.stale
    return Facts(
        name=model.name or model.id,
        base=model.base or job.base,
        base_license=_license(_base_folder(tx, actor, job)),
        description=model.description,
        method=spec.get("method"),
        objective=spec.get("objective"),
        created=None if trace.trained_at is None else trace.trained_at.strftime("%Y-%m-%dT%H:%MZ"),
        job=job.id,
        spec=spec,
        data=tuple(
            DataFile(
                name=file.filename,
                sha256=file.sha256,
                n_rows=file.n_rows,
                weight=file.weight if file.use == "train" else None,
                role="training" if file.use == "train" else "validation",
            )
            for file in trace.files
        ),
        metrics=_metrics(tx, job, trace),
        n_trained_tokens=job.trained_tokens,
        parity=_parity(tx, actor, model),
        stale=None if stale is None else f"{stale.reason} ({stale.n_rows} rows)",
    )


def _parity(tx: Tx, actor: Actor, model: Model) -> str | None:
    if model.parity is None:
        return None
    head, *forms = certificates.lines(certificates.get(tx, actor, model.id))
    return "\n".join([head, *(["", *(f"- {line}" for line in forms)] if forms else [])])


def _base_folder(tx: Tx, actor: Actor, job: JobRow) -> Path | None:
    """Folder of the base a job built on; None when it is gone."""
    try:
        return Path(models.get(tx, actor, job.base).path)
    except NotFound:
        return None


def _metrics(tx: Tx, job: JobRow, trace: lineage.Trace) -> dict[str, float]:
    """The last training loss, and the first and last evaluation with how many rows it was over."""
    rows = list(
        tx.session.scalars(
            sa.select(MetricRow).where(MetricRow.job_id == job.id).order_by(MetricRow.step)
        )
    )
    found: dict[str, float] = {}
    trained = [row for row in rows if row.loss is not None]
    if trained and trained[-1].loss is not None:
        last = trained[-1]
        n = f", n = {last.n_trained_tokens:,} tokens" if last.n_trained_tokens else ""
        found[f"training loss of step {last.step} (nats per token{n})"] = trained[-1].loss or 0.0
    own = [file for file in trace.files if file.job_id == job.id]
    n_rows = sum(file.n_rows or 0 for file in own if file.use != "train")
    measured = [row for row in rows if row.valid_loss is not None]
    for row in dict.fromkeys([*measured[:1], *measured[-1:]]):
        where = f"after step {row.step} (n = {n_rows} rows)"
        found[f"validation loss {where}"] = row.valid_loss or 0.0
        if row.valid_token_accuracy is not None:
            found[f"validation token accuracy {where}"] = row.valid_token_accuracy
    return found


def _license(folder: Path | None) -> str | None:
    """As the base's card states it, in its front matter or its text."""
    if folder is None:
        return None
    for name in ("README.md", "MODEL_CARD.md"):
        path = folder / name
        if path.is_file():
            found = LICENSE.search(path.read_text(encoding="utf-8", errors="replace")[:4000])
            if found:
                return found[1]
    return "see its LICENSE file" if any(folder.glob("LICENSE*")) else None
