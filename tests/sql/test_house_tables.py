"""Runs of evaluations and datasets as tables that are only read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from answering import speaking_as
from speaking import Speaker

from modiste.actions import datasets, eval_imports, files
from modiste.actions.datasets import PartFile
from modiste.evaluate.items import SAMPLES, Answer, Failure, Item, Sample, scored
from modiste.sql.errors import SqlError
from modiste.types import Purpose, Scope


def imported(speaker: Speaker, suite: str) -> str:
    """A run with three of four answers right, and one that was never given."""
    session, lines = speaker.session, []
    for at, value in enumerate((1, 1, 0, 1)):
        scores = {"acc": scored(value)}
        lines.append(Sample(Item(str(at), {"q": at}, "yes"), 0, (), Answer("yes"), scores))
    failed = Answer(failure=Failure("timeout", "late"))
    lines.append(Sample(Item("4", {"q": 4}, "yes"), 0, (), failed))
    file = files.add(
        session.place.database, session.caller, filename="s.jsonl", purpose=Purpose.EVALS,
        chunks=[SAMPLES.dump_json(line) + b"\n" for line in lines],
    )  # fmt: skip
    spec = {
        "suite": suite, "model": "modiste-tiny", "harness": "h", "harness_version": "1",
        "chat_template": True, "scorers": [{"name": "acc", "config": {}}],
    }  # fmt: skip
    return eval_imports.import_run(
        session.place.database, session.caller, spec=spec, file_id=file.id
    ).id


def dataset(speaker: Speaker, name: str) -> None:
    place, actor = speaker.session.place, speaker.session.caller
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    file = files.add(
        place.database, actor, filename="d.jsonl",
        chunks=[json.dumps({**row, "n": n}).encode() + b"\n" for n in range(3)],
    )  # fmt: skip
    with place.database.transaction() as tx:
        datasets.create(
            tx, actor, name=name, part_files=[PartFile(file.id)], description="three rows"
        )


def test_a_run_stands_with_its_figure_interval_and_n(speaker: Speaker) -> None:
    run_id = imported(speaker, "bees")
    (told,) = speaker(f"SELECT * FROM information_schema.evals WHERE id = '{run_id}'")
    assert {key: told[key] for key in ("SUITE", "MODEL", "STATUS", "METRIC", "VALUE", "N")} == {
        "SUITE": "bees", "MODEL": "modiste-tiny", "STATUS": "SUCCESS", "METRIC": "acc.mean",
        "VALUE": 0.75, "N": 4,
    }  # fmt: skip
    assert (told["UNSCORED"], told["TOTAL"], told["DONE"], told["FAILED"]) == (1, 5, 5, 1)
    assert 0 < told["LO"] < 0.75 < told["HI"] < 1
    assert (told["LEVEL"], told["ERROR"]) == (0.95, None)


def test_runs_are_joined_and_counted_like_any_table(speaker: Speaker) -> None:
    for _ in range(2):
        imported(speaker, "wasps")
    told = speaker("SELECT suite, COUNT(*) AS n, MIN(n) AS items FROM information_schema.evals "
                   "WHERE suite = 'wasps' AND value > 0.7 GROUP BY suite")  # fmt: skip
    assert [tuple(row.values()) for row in told] == [("wasps", 2, 4)]


def test_a_dataset_has_a_row_for_each_version(speaker: Speaker) -> None:
    dataset(speaker, "tickets")
    told = speaker("SELECT name, version, status, n_files, description, error "
                   "FROM information_schema.datasets WHERE name = 'tickets'")  # fmt: skip
    assert [tuple(row.values()) for row in told] == [("tickets", 1, "READY", 1, "three rows", None)]


def test_they_are_found_by_looking_around_and_written_by_nobody(speaker: Speaker) -> None:
    for dialect in ("mysql", "postgres"):
        speaker.session.dialect = dialect  # type: ignore[assignment]
        told = speaker("SELECT table_name AS t FROM information_schema.tables "
                       "WHERE table_schema = 'information_schema'")  # fmt: skip
        assert {"evals", "datasets"} <= {row["t"] for row in told}
    speaker.session.dialect = "mysql"
    for text in (
        "INSERT INTO information_schema.evals VALUES (1)",
        "DROP TABLE information_schema.datasets",
        "DELETE FROM information_schema.evals WHERE id = 'x'",
    ):
        with pytest.raises(SqlError):
            speaker(text)
    with pytest.raises(SqlError, match="Table 'evals' not found in database: mindsdb"):
        speaker("SELECT * FROM evals")


def test_a_key_sees_what_its_scopes_and_its_organisation_have(speaker: Speaker) -> None:
    imported(speaker, "ants")
    dataset(speaker, "ants")
    foreign = speaking_as(speaker, Scope.INFER, Scope.DATA, org="elsewhere")
    for table in ("evals", "datasets"):
        assert speaker(f"SELECT * FROM information_schema.{table}") != []
        assert foreign(f"SELECT * FROM information_schema.{table}") == []
    for scope, table in ((Scope.INFER, "datasets"), (Scope.DATA, "evals")):
        with pytest.raises(SqlError) as refused:
            speaking_as(speaker, scope)(f"SELECT * FROM information_schema.{table}")
        assert refused.value.code == 1045
