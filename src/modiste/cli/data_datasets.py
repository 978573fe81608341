"""`modiste data datasets`: named, numbered sets of files on the server.

modiste data datasets push sql train.jsonl validation=held-out.jsonl
modiste data datasets push sql all.jsonl --stages stages.yaml
modiste data datasets push sql out/              what `modiste data run` wrote
modiste jobs create --model modiste-tiny --dataset sql@2
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli.output import (
    AsJson,
    ago,
    print_fields,
    print_json,
    print_table,
    printable,
    say,
)
from modiste.client import Client, connect
from modiste.errors import Conflict, InvalidInput, ModisteError, NotFound
from modiste.prepare.yaml_file import read_yaml

app = typer.Typer(add_completion=False)
datasets = typer.Typer(
    add_completion=False,
    help="Named, numbered sets of files on the server: list, show, push, pull, delete.",
    no_args_is_help=True,
)
app.add_typer(datasets, name="datasets")
DATASETS = "/v1/datasets"
POLL_S = 0.5
MANIFEST = "dataset.json"
SOURCES = "sources"
UNFINISHED = ("QUEUED", "BUILDING")

Name = Annotated[str, typer.Argument(help="Its name; `name@3` means version 3.")]


@datasets.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every dataset with its newest version."""
    with connect(settings.load()) as client:
        answer = client.get(DATASETS)
    if as_json:
        print_json(answer)
        return
    print_table(
        ["dataset", "status", "rows", "made", "description"],
        [
            (v["name"], v["status"], _rows(v), ago(v["created_at"]), dataset["description"])
            for dataset in answer["data"]
            for v in dataset["versions"][:1]
        ],
        empty="No datasets. `modiste data datasets push NAME train.jsonl` makes one.",
    )


@datasets.command()
def show(
    name: Name,
    rows: Annotated[int, typer.Option(min=0, max=1000, help="Rows to print.")] = 0,
    part: Annotated[str, typer.Option(help="Part whose rows to print.")] = "train",
    as_json: AsJson = False,
) -> None:
    """What one version is made of and where it came from; all versions without a number."""
    with connect(settings.load()) as client:
        dataset, version = _version(client, name)
        address = f"{DATASETS}/{version['dataset']}/versions/{version['version']}"
        shown = client.get(f"{address}/rows", part=part, limit=rows)["data"] if rows else []
    if as_json:
        print_json({**version, "rows": shown} if rows else version)
        return
    _print_version(dataset, version)
    for row in shown:
        typer.echo(printable(json.dumps(row["value"], ensure_ascii=False)))


@datasets.command()
def push(
    name: Annotated[str, typer.Argument(help="Its name; a new version where it is there already.")],
    files: Annotated[
        list[str],
        typer.Argument(help="Files, PART=FILE for parts, or the folder of a pipeline's output."),
    ],
    stages: Annotated[
        Path | None, typer.Option("--stages", help="YAML with stages for the server to run.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it is; of a new dataset.")] = None,
    wait: Annotated[bool, typer.Option(help="Until the stages have run.")] = True,
    as_json: AsJson = False,
) -> None:
    """Upload files as the next version of a dataset."""
    wanted = _stages(stages) if stages else None
    with connect(settings.load()) as client:
        body = _folder(client, Path(files[0])) if _is_output(files) else _files(client, files)
        if wanted is not None:
            body["stages"] = _with_uploads(client, wanted, stages.parent if stages else Path())
        version = _made(client, name, body, description)
        if wait and version["status"] in UNFINISHED:
            version = _finished(client, version)
        dataset = client.get(f"{DATASETS}/{name}")
        standing = client.standing
    if as_json:
        print_json(version)
    else:
        _print_version(dataset, version)
    if version["status"] in UNFINISHED:
        say("A worker runs the stages" + ("." if standing else " once `modiste up` runs."))
    if version["status"] not in (*UNFINISHED, "READY"):
        raise typer.Exit(1)


@datasets.command()
def pull(
    name: Name,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder; made if it is not there.")
    ],
    as_json: AsJson = False,
) -> None:
    """Download the files of a version; files that are there are not overwritten."""
    with connect(settings.load()) as client:
        _, version = _version(client, name)
        wanted = {file["file_id"]: output / _local_name(version, file) for file in version["files"]}
        if not wanted:
            raise InvalidInput(f"{version['name']} is {version['status']}: it has no files yet")
        there = [str(p) for p in (*wanted.values(), output / MANIFEST) if p.exists()]
        if there:
            raise Conflict(f"{', '.join(there)} exists already; name another folder")
        output.mkdir(parents=True, exist_ok=True)
        for file_id, path in wanted.items():
            with path.open("xb") as target:
                for chunk in client.download(file_id):
                    target.write(chunk)
        manifest = _manifest_of(client, version)
    if manifest is not None:
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (output / MANIFEST).write_text(text + "\n", encoding="utf-8")
    paths = [*map(str, wanted.values()), *([str(output / MANIFEST)] if manifest else [])]
    if as_json:
        print_json({"dataset": version["name"], "files": paths})
    else:
        typer.echo("\n".join(paths))


@datasets.command()
def delete(name: Annotated[str, typer.Argument(help="Its name.")], as_json: AsJson = False) -> None:
    """Delete a dataset with all versions, and the files that were built for it."""
    with connect(settings.load()) as client:
        answer = client.delete(f"{DATASETS}/{name}")
    if as_json:
        print_json(answer)
    else:
        say(f"{name} is deleted; files that you uploaded stay.")


def _version(client: Client, text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The dataset, and the version that the name names: the newest without a number."""
    name, at, number = text.partition("@")
    dataset = client.get(f"{DATASETS}/{name}")
    if not at:
        return dataset, dataset["versions"][0]
    for version in dataset["versions"]:
        if str(version["version"]) == number:
            return dataset, version
    known = ", ".join(version["name"] for version in dataset["versions"])
    raise NotFound(f"There is no {text}, only {known}.")


def _files(client: Client, files: list[str]) -> dict[str, Any]:
    """`FILE`, or `PART=FILE`; a path that exists is a path, whatever is in it."""
    entries = []
    for text in files:
        part, equals, rest = text.partition("=")
        as_path = not equals or Path(text).expanduser().exists()
        path, part = (text, "train") if as_path else (rest, part)
        entries.append({"file_id": _uploaded(client, path), "part": part})
    return {"files": entries}


def _uploaded(client: Client, text: str) -> str:
    """Of a path, the file it becomes; anything else is an id of the server."""
    path = Path(text).expanduser()
    return str(client.upload(path)["id"]) if path.exists() else text


def _is_output(files: list[str]) -> bool:
    return len(files) == 1 and (Path(files[0]).expanduser() / MANIFEST).is_file()


def _folder(client: Client, folder: Path) -> dict[str, Any]:
    """What `modiste data run` wrote, as one run wrote it."""
    from modiste.prepare.curate.cache import ONLY
    from modiste.prepare.curate.manifest import read_manifest

    folder = folder.expanduser()
    manifest = read_manifest(folder)
    entries = [
        {
            "file_id": str(client.upload(folder / part["file"])["id"]),
            "part": "train" if name == ONLY else name,
        }
        for name, part in manifest["outputs"].items()
    ]
    sources = client.upload(folder / manifest["rows"], purpose="user_data")
    entries.append({"file_id": str(sources["id"]), "part": SOURCES})
    return {"files": entries, "manifest": manifest}


def _stages(path: Path) -> list[Any]:
    """A list of stages, or a pipeline's YAML of which only the stages are taken."""

    content = read_yaml(path)
    found = content.get("stages") if isinstance(content, dict) else content
    if not isinstance(found, list) or not found:
        raise InvalidInput(f"{path}: expected a list of stages, such as `- dedup`")
    _steps(found, path.parent)
    return found


def _steps(stages: list[Any], folder: Path) -> tuple[Any, ...]:
    """Raises InvalidInput with everything that is wrong with them."""
    from modiste.prepare.curate.steps import parse

    values = {"inputs": ["rows.jsonl"], "stages": stages, "output": "output"}
    return parse(values, folder=folder, where="stages").steps


def _with_uploads(client: Client, stages: list[Any], folder: Path) -> list[Any]:
    """Files that stages name go up, too; settings name them by their ids then."""
    from modiste.prepare.curate.steps import STREAM, places_of

    ids: dict[str, str] = {}
    for place in (place for step in _steps(stages, folder) for place in places_of(step)):
        path = folder / Path(place).expanduser()
        if not place.startswith(STREAM) and path.is_file():
            ids[place] = str(client.upload(path)["id"])
    return [_renamed(stage, ids) for stage in stages]


def _renamed(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return ids.get(value, value)
    if isinstance(value, Mapping):
        return {key: _renamed(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, ids) for inner in value]
    return value


def _made(
    client: Client, name: str, body: dict[str, Any], description: str | None
) -> dict[str, Any]:
    try:
        client.get(f"{DATASETS}/{name}")
    except NotFound:
        dataset = client.post(DATASETS, {"name": name, "description": description, **body})
        made: dict[str, Any] = dataset["versions"][0]
        return made
    if description is not None:
        say(f"{name} is there already and keeps its description.")
    return client.post(f"{DATASETS}/{name}/versions", body)


def _finished(client: Client, version: dict[str, Any]) -> dict[str, Any]:
    """Waits for the stages, where somebody is there to run them."""
    if not client.standing:
        return version
    say(f"Building {version['name']} …")
    while version["status"] in UNFINISHED:
        time.sleep(POLL_S)
        address = f"{DATASETS}/{version['dataset']}/versions/{version['version']}"
        version = client.get(address, patience_s=60.0)
    return version


def _manifest_of(client: Client, version: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return client.get(f"{DATASETS}/{version['dataset']}/versions/{version['version']}/manifest")
    except ModisteError as error:
        if error.error_code != "no_manifest":
            raise
    return None


def _local_name(version: dict[str, Any], file: dict[str, Any]) -> str:
    """Files of a build under the names that a pipeline gives them, others under their own."""
    if file["part"] == SOURCES:
        return "rows.jsonl.gz"
    if version["stages"]:
        return f"{file['part']}.jsonl"
    name = Path(file["filename"].replace("\\", "/")).name or file["file_id"]
    twin = [f["filename"] for f in version["files"]].count(file["filename"]) > 1
    return f"{file['file_id']}-{name}" if twin else name


def _rows(version: dict[str, Any]) -> int | None:
    counted = [file["rows"] for file in version["files"] if file["part"] != SOURCES]
    return sum(counted) if counted and None not in counted else None


def _print_version(dataset: dict[str, Any], version: dict[str, Any]) -> None:
    error = version["error"]
    print_fields(
        [
            ("dataset", version["name"]),
            ("description", dataset["description"]),
            ("status", version["status"]),
            ("error", error and error["message"]),
            ("rows", _rows(version)),
            ("made from", ", ".join(_named(file) for file in version["inputs"])),
            ("by stages", "; ".join(_stage(stage) for stage in version["stages"])),
            ("code", f"modiste {version['code_version']}"),
            ("made", ago(version["created_at"])),
            ("versions", ", ".join(f"{v['name']} {v['status']}" for v in dataset["versions"])),
        ]
    )
    if version["files"]:
        print_table(
            ["part", "file", "rows", "id", "sha256"],
            [
                (f["part"], f["filename"], f["rows"], f["file_id"], f"{f['sha256'][:12]}…")
                for f in version["files"]
            ],
            empty="",
        )


def _named(file: dict[str, Any]) -> str:
    return file["filename"] if file["part"] == "train" else f"{file['filename']} ({file['part']})"


def _stage(stage: dict[str, Any]) -> str:
    return ", ".join(
        name if not given else f"{name} {json.dumps(given, ensure_ascii=False)}"
        for name, given in stage.items()
    )
