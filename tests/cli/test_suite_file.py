"""A suite on this machine becomes one that the server can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modiste.cli.suite_file import sent, suite_in
from modiste.errors import InvalidInput, NotFound


class Files:
    """A client that keeps what is uploaded."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.there: list[dict[str, Any]] = []

    def upload(self, path: Path, *, purpose: str) -> dict[str, Any]:
        import hashlib

        self.sent.append((path.name, purpose))
        content = path.read_bytes()
        told = {
            "id": f"file_{len(self.sent)}",
            "filename": path.name,
            "bytes": len(content),
            "signature": hashlib.sha256(content).hexdigest()[:16],
        }
        self.there.append(told)
        return told

    def get(self, path: str, **asked: Any) -> dict[str, Any]:
        assert (path, asked["purpose"]) == ("/v1/files", "evals")
        return {"data": [told for told in self.there if told["filename"] == asked["search"]]}


def write(folder: Path, text: str, name: str = "suite.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_every_path_is_uploaded_once_and_becomes_an_id(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    write(tmp_path, "{}", "data/rows.jsonl")
    write(tmp_path, "{}", "shots.jsonl")
    text = """
dataset: data/rows.jsonl
models:
  a: {model: m, shots: {path: shots.jsonl}}
  b: {model: m, shots: {path: ./data/../shots.jsonl}}
  c: {model: m}
"""
    files: Any = Files()
    spec = sent(files, suite_in(write(tmp_path, text)), folder=tmp_path)
    assert spec["dataset"] == {"file_id": "file_1"}
    assert [spec["models"][name].get("shots") for name in "abc"] == [
        {"file_id": "file_2"}, {"file_id": "file_2"}, None,
    ]  # fmt: skip
    assert files.sent == [("rows.jsonl", "evals"), ("shots.jsonl", "evals")]


def test_a_file_that_is_there_is_not_sent_again_and_a_changed_one_is(tmp_path: Path) -> None:
    rows, files = write(tmp_path, "{}", "rows.jsonl"), Files()
    client: Any = files

    def file_id() -> str:
        spec = sent(client, {"dataset": {"path": "rows.jsonl"}}, folder=tmp_path)
        return str(spec["dataset"]["file_id"])

    assert [file_id(), file_id()] == ["file_1", "file_1"]
    rows.write_text("[]")
    assert [file_id(), file_id()] == ["file_2", "file_2"]


def test_paths_that_lead_nowhere_are_told_all_at_once(tmp_path: Path) -> None:
    spec = {"dataset": {"path": "gone.jsonl"}, "models": {"a": {"shots": {"path": "lost.csv"}}}}
    files: Any = Files()
    with pytest.raises(NotFound, match=r"gone\.jsonl, lost\.csv \(looked in "):
        sent(files, spec, folder=tmp_path)
    assert files.sent == []


def test_dates_stay_the_texts_they_are(tmp_path: Path) -> None:
    read = suite_in(
        write(tmp_path, "description: 2026-11-30\nprompt: x\n1: {a: 2026-11-30 07:00:00}")
    )
    assert read == {
        "description": "2026-11-30", "prompt": "x", "1": {"a": "2026-11-30T07:00:00"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "not readable as YAML"),
        ("- a", "expected the fields of a suite, got list"),
        ("", "got NoneType"),
        ("a: .nan", "cannot be sent as JSON"),
        ("a: !!binary aGk=", "cannot be sent as JSON"),
        ("a: &x [*x]", "cannot be sent as JSON"),
        ("!!python/object/apply:os.getcwd []", "not readable as YAML"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=rf"suite\.yaml: .*{said}"):
        suite_in(write(tmp_path, text))


def test_a_suite_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no suite .*nothing\.yaml"):
        suite_in(tmp_path / "nothing.yaml")


def test_the_code_of_a_scorer_travels_with_the_suite(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def score(item, answer): return 1\n")
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "dataset: rows.jsonl\nscorers:\n  - exact\n  - {kind: python, path: mine.py}\n"
    )
    found = suite_in(suite)
    assert found["dataset"] == {"path": "rows.jsonl"}
    assert found["scorers"] == [
        "exact",
        {"kind": "python", "source": "def score(item, answer): return 1\n"},
    ]


def test_code_that_is_not_there_is_told_with_the_folder(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("scorers: [{kind: python, path: a.py}, {kind: python, path: b.py}]")
    with pytest.raises(NotFound, match=r"a\.py, b\.py \(looked in"):
        suite_in(suite)
