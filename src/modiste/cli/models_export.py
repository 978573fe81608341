"""`modiste models export`, `card`, `extend-vocab`: models for other tools, verified before they go.

The work is done on this machine: from a server come the files, never more than the form needs.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import typer

from modiste import settings
from modiste.cli.output import AsJson, print_json, say, size
from modiste.client import Client, connect
from modiste.errors import ExportFailed, Forbidden, InvalidInput, ModisteError
from modiste.nn.model_card import Facts

app = typer.Typer(add_completion=False)
FORMS = "peft, mistral, merged, merged-mistral or gguf"
PROBES = (
    "Question: What is the capital of France? Answer: Paris.",
    "def add(a, b):\n    return a + b\n",
    "Der schnelle braune Fuchs springt über den faulen Hund. 12,5 %!",
)
"""What logits are compared on, beside ids drawn at random."""


Tell = Callable[[dict[str, Any]], None]


class Place(NamedTuple):
    """A model as folders on this machine."""

    base: Path
    adapter: Path | None
    facts: Facts | None
    tell: Tell = lambda proof: None
    """The server keeps what was found in the export, beside the model's certificate."""


@app.command()
def export(
    model: Annotated[
        str | None, typer.Argument(help="A model of the server; or give --base and --adapter.")
    ] = None,
    form: Annotated[str, typer.Option("--form", help=FORMS.capitalize() + ".")] = "peft",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A new folder.")] = None,
    base: Annotated[
        Path | None, typer.Option("--base", help="Folder of the base, instead of the server's.")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option("--adapter", help="Folder of an adapter, PEFT or Mistral.")
    ] = None,
    gguf_numbers: Annotated[
        str, typer.Option("--gguf-numbers", help="f32, f16, bf16 or q8_0.")
    ] = "f16",
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Read back and compare logits.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Write a model in a form that other tools load, and prove that it computes the same."""
    if output is None:
        raise InvalidInput("where to? Give a new folder with -o DIR", param="output")
    if model is None and base is None:
        raise InvalidInput("give a model of the server, or --base DIR with --adapter DIR")
    if model is not None and adapter is not None:
        raise InvalidInput("give either a model of the server or --adapter, not both")
    from modiste.nn.export import export as write

    with located(model, base, adapter, say=(lambda line: None) if as_json else say) as place:
        heads = _heads(place.adapter, form)
        proof = {"form": form, "numbers": gguf_numbers if form == "gguf" else None}
        try:
            done = write(
                form,
                base=place.base,
                adapter=place.adapter,
                into=output,
                verify=verify,
                prompts=prompts_of(place.base) if verify else (),
                facts=place.facts,
                gguf_numbers=gguf_numbers,
            )
        except ExportFailed as error:
            place.tell({**proof, "status": "apart", "note": error.message})
            raise
        for file in heads:
            shutil.copy(file, output)
        status = "not_checked" if done.verified is None else "passed"
        if verify:
            place.tell({**proof, "status": status, "note": done.note})
    if as_json:
        print_json(_json(done))
        return
    files = [*done.files, *(output / file.name for file in heads)]
    n_bytes = sum(path.stat().st_size for path in files)
    say(f"{len(files)} files, {size(n_bytes)}, in {output}")
    say(done.note[:1].upper() + done.note[1:] + ".")


def _heads(adapter: Path | None, form: str) -> list[Path]:
    """The files of a classifier beside its adapter; none where it is none.

    Raises:
        InvalidInput: a form that has no place for them.
    """
    names = ("classifier.json", "classifier.safetensors")
    found = [adapter / name for name in names if adapter is not None and (adapter / name).is_file()]
    if found and form != "peft":
        raise InvalidInput(
            f"form {form} has no place for a classifier's heads; --form peft keeps them beside the "
            "adapter, in classifier.json and classifier.safetensors",
            param="form",
        )
    return found


@app.command()
def card(
    model: Annotated[str, typer.Argument(help="A tuned model of the server.")],
    as_json: AsJson = False,
) -> None:
    """The model card (README.md in Hugging Face's format) as it stands today."""
    with connect(settings.load()) as client:
        if as_json:
            print_json(client.get(f"/v1/models/{model}/card", format="json"))
        else:
            typer.echo(client.page(f"/v1/models/{model}/card"))


@app.command("extend-vocab")
def extend_vocab(
    base: Annotated[Path, typer.Argument(help="Folder of a base, Hugging Face or Mistral layout.")],
    size: Annotated[int, typer.Option("--size", help="Tokens afterwards.")] = 32768,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A new folder.")] = None,
    insert_at: Annotated[
        int | None,
        typer.Option("--insert-at", help="First new id; without it they follow the old ones."),
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="Tokenizer file for the new vocabulary.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the new rows.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Give a base more tokens: new rows in embeddings and head, near the mean of the old ones."""
    if output is None:
        raise InvalidInput("where to? Give a new folder with -o DIR", param="output")
    from modiste.nn.extend_vocabulary import extend

    done = extend(base, size=size, into=output, insert_at=insert_at, tokenizer=tokenizer, seed=seed)
    if as_json:
        print_json({"path": str(output), "old_size": done.old_size, "new_size": done.new_size,
                    "note": done.note})  # fmt: skip
        return
    say(f"{done.old_size:,} tokens became {done.new_size:,} in {output}.")
    say(done.note[:1].upper() + done.note[1:] + ".")


@contextmanager
def located(
    model: str | None, base: Path | None, adapter: Path | None, *, say: Any
) -> Iterator[Place]:
    """Folders with the model's files; what was downloaded goes with the block."""
    if model is None:
        yield Place(base or Path(), adapter, None)
        return
    with (
        connect(settings.load()) as client,
        tempfile.TemporaryDirectory(prefix="modiste-export-") as scratch,
    ):
        listed = client.get(f"/v1/models/{model}/files")
        if listed["base"] is None:
            yield Place(base or _base(client, model, Path(scratch), say), None, None)
            return
        facts = Facts.of_json(client.get(f"/v1/models/{model}/card", format="json"))
        tell = _telling(client, model)
        if listed["whole"]:
            yield Place(_fetched(client, listed, Path(scratch) / "model", say), None, facts, tell)
        else:
            name = model.replace(":", "-").replace("/", "-")
            folder = _fetched(client, listed, Path(scratch) / name, say)
            found = base or _base(client, listed["base"], Path(scratch), say)
            yield Place(found, folder, facts, tell)


def _telling(client: Client, model: str) -> Tell:
    def tell(proof: dict[str, Any]) -> None:
        try:
            client.post(f"/v1/models/{model}/parity/exports", proof)
        except ModisteError as error:
            say(f"The server keeps no note of this export: {error.message}")

    return tell


def _base(client: Client, name: str, scratch: Path, say: Any) -> Path:
    """The server's own folder where it is one of this machine, a copy of its files otherwise."""
    listed = client.get(f"/v1/models/{name}/files")
    try:
        places = {each["id"]: each["path"] for each in client.get("/v1/models/bases")["data"]}
    except Forbidden:  # only admins may know
        places = {}
    folder = Path(places.get(name, "")) if name in places else None
    if folder is not None and all(
        (folder / file["name"]).is_file()
        and (folder / file["name"]).stat().st_size == file["size_bytes"]
        for file in listed["data"]
    ):
        return folder
    return _fetched(client, listed, scratch / "base", say)


def _fetched(client: Client, listed: dict[str, Any], folder: Path, say: Any) -> Path:
    folder.mkdir()
    known = sum(file["size_bytes"] or 0 for file in listed["data"])
    if known:
        say(f"Downloading {listed['model']}: {size(known)}.")
    for file in listed["data"]:
        if file["name"] in ("", "..") or Path(file["name"]).name != file["name"]:
            # The server may be anybody's.
            raise InvalidInput(f"{listed['model']} lists {file['name']!r}, which is no file name")
        with (folder / file["name"]).open("wb") as out:
            route = f"/v1/models/{listed['model']}/files/{quote(file['name'])}"
            for chunk in client.content(route):
                out.write(chunk)
    return folder


def prompts_of(base: Path) -> list[list[int]]:
    """The probes in the base's tokens, where it has a tokenizer that is read here."""
    from modiste.prepare import render

    try:
        renderer = render.load(base)
    except ModisteError:
        return []
    return [renderer.encode(text) for text in PROBES]


def _json(done: Any) -> dict[str, Any]:
    verified = done.verified
    return {
        "form": str(done.form),
        "files": [str(path) for path in done.files],
        "verified": None if verified is None else vars(verified),
        "note": done.note,
    }
