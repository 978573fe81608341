"""The moderation classifier that ships with the package: asked like a tuned one, kept by nobody.

It has no row and no job: its name answers in every organisation, its files lie in the package
(`bases/moderation`, with the card that says what it finds and what it misses) and are copied into
the cache at first use, where the engine may put its own form of them beside. It reads short texts
well and long ones badly, so a detector hands it long ones in pieces.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from modiste.actions.weights import MADE, Weights
from modiste.nn.heads_file import read_about
from modiste.store.blobs import adapter_of, hash_file
from modiste.types import Model, ModelKind

NAME = "modiste-moderation"
FOLDER = Path(__file__).resolve().parent.parent / "bases" / "moderation"
BASE = FOLDER.parent / "tiny"
BASE_NAME = "modiste-tiny"
FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "classifier.json",
    "classifier.safetensors",
)
CONTEXT = 2048
"""Tokens that the base reads."""
PIECE, STEP = 400, 300
"""Characters of a piece, and from one piece to the next: what stands in a gap of one is whole in
the other, up to 100 characters. Chosen as the windows of streams are, not measured."""


@cache
def model() -> Model:
    """
    Raises:
        InvalidInput: the package is incomplete.
    """
    return Model(
        id=NAME,
        kind=ModelKind.FINE_TUNED,
        created_at=datetime(2026, 11, 30, tzinfo=UTC),
        max_context_length=CONTEXT,
        root=BASE_NAME,
        base=BASE_NAME,
        path=str(BASE),
        owned_by="modiste",
        classifier_targets=read_about(FOLDER).targets,
    )


def weights(cache_dir: Path) -> Weights:
    """
    Raises:
        OSError: the cache cannot be written.
    """
    folder = cache_dir / MADE / _version()
    if not folder.is_dir():
        building = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
        building.mkdir(parents=True)
        for name in FILES:
            shutil.copyfile(FOLDER / name, building / name)
        try:
            building.rename(folder)
        except OSError:
            shutil.rmtree(building, ignore_errors=True)
            if not folder.is_dir():  # Nobody else was faster.
                raise
    return Weights(BASE, folder, _version())


@cache
def _version() -> str:
    return adapter_of({name: hash_file(FOLDER / name) for name in FILES}).version


def pieces(text: str) -> Iterator[str]:
    """The text, or overlapping parts of it that begin and end between words where they can."""
    at = 0
    while len(text) - at > PIECE:
        yield text[at : _gap(text, at + PIECE, at + STEP)]
        at = _gap(text, at + STEP, at + STEP // 2)
    yield text[at:]


def _gap(text: str, at: int, least: int) -> int:
    """The last place before `at` where a word ends; `at` itself if there is none behind `least`."""
    found = text.rfind(" ", least, at)
    return at if found < 0 else found
