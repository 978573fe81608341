"""`--model`: whose tokens are meant. An installed base, a folder, a tokenizer file, a known name.

In this order, and always said: what lies on this disk, what is installed here (asked of the server
or the home), what ships with mistral-common for the vendor's names. Nothing is downloaded, no home
is made, and a name that leads nowhere is refused with the ways out.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from modiste import settings
from modiste.cli import known_bases
from modiste.errors import InvalidInput, ModisteError, NotFound
from modiste.nn.base import BaseInfo, describe_base
from modiste.prepare import render
from modiste.prepare.render import Renderer
from modiste.settings import Settings

SHIPPED = "modiste-tiny"


class Installed(NamedTuple):
    """A base as the server knows it."""

    id: str
    aliases: tuple[str, ...]
    path: Path
    tokens_per_s: float | None = None
    """Measured in the last training on it."""


class Tokens(NamedTuple):
    """Whose tokens: how to render them, and what is known of the base for estimates."""

    name: str
    said: str
    """Which files are used, for people."""
    renderer: Renderer
    base: BaseInfo | None
    """None where only a tokenizer was given."""
    tokens_per_s: float | None = None


def resolve(name: str | None, wanted: Settings | None = None) -> Tokens:
    """The tokens of a base; None means the shipped one.

    Raises:
        InvalidInput: nothing of that name, or what is there cannot be read.
    """
    if name is None:
        return _shipped(f"{SHIPPED}, which ships; --model names another base")
    if name == SHIPPED:
        return _shipped("the base that ships with Modiste")
    if not name.strip():
        raise InvalidInput("--model is empty; leave it out or name a base", param="model")
    on_disk = Path(name).expanduser()
    if on_disk.is_dir():
        return _of_folder(name, on_disk, str(on_disk))
    if on_disk.is_file():
        return _of_file(name, on_disk)
    wanted = wanted or settings.load()
    found = _among(name, installed(wanted)) or _root_of(name, wanted)
    if found is not None:
        return _of_installed(name, found)
    known = known_bases.find(name)
    if known is None:
        raise InvalidInput(_no_such(name), param="model", code="tokenizer_unknown")
    said = f"{known.tokenizer} of mistral-common, the tokenizer of {name}"
    renderer = mistral(known_bases.tokenizer_path(known.tokenizer))
    return Tokens(name, said, renderer, known.shape and known.shape.info())


def of_folder_elsewhere(path: str) -> Tokens:
    """The tokens of a base whose folder need not be on this machine, as in a file for another one.

    Its last part may be a name that is known; else it is v3, which mistral-finetune's own check
    counts with whatever the model.
    """
    try:
        return resolve(path)
    except InvalidInput as error:
        if error.error_code != "tokenizer_unknown":
            raise
    known = known_bases.find(PureWindowsPath(path).name)
    file = known.tokenizer if known else known_bases.SPM_V3
    why = "goes by its name" if known else "as mistral-finetune counts; --model names another"
    said = f"{path} is not on this machine; {file} of mistral-common, {why}"
    info = known.shape.info() if known and known.shape else None
    return Tokens(path, said, mistral(known_bases.tokenizer_path(file)), info)


def installed(wanted: Settings) -> list[Installed]:
    """The bases of the server or of this home; none where there is neither."""
    if wanted.url is None and not wanted.home.exists():
        return []
    from modiste.client import connect

    try:
        with connect(wanted) as client:
            return [_installed(card) for card in client.get("/v1/models/bases")["data"]]
    except ModisteError:
        return []  # a server that is down or a key without the right: other ways to a name remain


def base_folder(name: str) -> Path:
    """Where an installed base lies, or a folder by its own name.

    Raises:
        InvalidInput: there is none of that name on this machine.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name == SHIPPED:
        return shipped_folder()
    found = _among(name, installed(settings.load()))
    if found is None or not found.path.is_dir():
        raise InvalidInput(
            f"{name}: no folder and no base that is installed here; `modiste models list` names "
            f"them, and {SHIPPED} ships"
        )
    return found.path


def shipped_folder() -> Path:
    return Path(render.__file__).parents[1] / "bases" / "tiny"


def _shipped(said: str) -> Tokens:
    folder = shipped_folder()
    return Tokens(SHIPPED, said, render.load(folder), _described(folder))


def _of_folder(name: str, folder: Path, said: str) -> Tokens:
    return Tokens(name, said, render.load(folder), _described(folder))


def _of_file(name: str, file: Path) -> Tokens:
    if file.name == "tokenizer.json":
        return _of_folder(name, file.parent, str(file))
    return Tokens(name, str(file), mistral(file), _described(file.parent))


def _of_installed(name: str, found: Installed) -> Tokens:
    if not found.path.is_dir():
        raise InvalidInput(
            f"{name} is installed on the server in {found.path}, which is not a folder of this "
            "machine. Give --model a folder or a tokenizer file that lies here",
            param="model",
            code="tokenizer_elsewhere",
        )
    stands = "" if found.id == name else f"{found.id}, which {name} stands for here, "
    tokens = _of_folder(found.id, found.path, f"{stands}installed in {found.path}")
    return tokens._replace(tokens_per_s=found.tokens_per_s)


def mistral(file: Path) -> Renderer:
    from modiste.prepare.render_mistral import MistralRenderer

    return MistralRenderer(file)


def _described(folder: Path) -> BaseInfo | None:
    """Sizes are for estimates; a folder with a tokenizer alone has none."""
    try:
        return describe_base(folder)
    except InvalidInput:
        return None


def _installed(card: dict[str, Any]) -> Installed:
    path = Path(card["path"])
    return Installed(card["id"], tuple(card["aliases"]), path, card["tokens_per_s"])


def _among(name: str, bases: Sequence[Installed]) -> Installed | None:
    return next((base for base in bases if name == base.id or name in base.aliases), None)


def _root_of(name: str, wanted: Settings) -> Installed | None:
    """A tuned model reads what its base reads."""
    if not name.startswith("ft:"):
        return None
    from modiste.client import connect

    try:
        with connect(wanted) as client:
            root = str(client.get(f"/v1/models/{name}").get("root"))
    except NotFound as error:
        raise InvalidInput(error.message, param="model", code="tokenizer_unknown") from None
    return _among(root, installed(wanted))


def _no_such(name: str) -> str:
    names = [each for known in known_bases.KNOWN for each in known.names]
    near = difflib.get_close_matches(name.lower(), [*names, SHIPPED], n=1, cutoff=0.75)
    meant = f" Did you mean {near[0]}?" if near else ""
    return (
        f"--model {name}: no folder, no tokenizer file, no installed base, and no model whose "
        f"tokenizer ships with mistral-common.{meant} Give the folder of the base, or its "
        "tokenizer.json, tekken.json or tokenizer.model.vN"
    )
