"""`modiste sql` against a real front, whose engine follows a script."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
from scripted import TINY, Front, ScriptedEngine, run_front, settings_for

from modiste.cli import sql
from modiste.client import connect
from modiste.prepare import render
from modiste.settings import load

MODEL = "CREATE MODEL m PREDICT a USING prompt_template = '{{q}}', model_name = 'modiste-tiny'"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    said = tuple(render.load(TINY).encode("Hello there."))
    yield from run_front(settings_for(tmp_path_factory.mktemp("front")), ScriptedEngine(ids=said))


@pytest.fixture
def served(front: Front, home: Path, monkeypatch: pytest.MonkeyPatch) -> Front:
    monkeypatch.setenv("MODISTE_URL", front.url)
    monkeypatch.setenv("MODISTE_API_KEY", front.key)
    return front


@pytest.fixture
def talk(served: Front) -> Iterator[sql.Talk]:
    with connect(load()) as client:
        yield sql.Talk(client, "mindsdb")


def test_statements_are_done_in_order_and_use_holds(served: Front, modiste) -> None:
    done = modiste(
        "sql", "-c", f"CREATE PROJECT lab; USE lab; {MODEL}; SELECT a FROM m WHERE q='x'"
    )
    assert done.code == 0, done.err
    assert "Hello there." in done.out
    assert done.err.count("ok") == 2
    told = modiste("sql", "-d", "lab", "--json", "-c", "SELECT a, q FROM m WHERE q = 'x; y'").json
    assert told == [
        {"type": "table", "column_names": ["a", "q"], "data": [["Hello there.", "x; y"]]}
    ]


def test_a_statement_that_fails_ends_the_rest_with_its_number(served: Front, modiste) -> None:
    done = modiste("sql", "-c", "SELECT 1 AS one; SELECT * FROM nope.t; CREATE PROJECT never")
    assert done.code == 2
    assert "one" in done.out
    assert "Database does not exist: nope (1049)" in done.err
    assert "never" not in modiste("sql", "-c", "SHOW DATABASES").out


def test_a_file_is_done_whole_or_not_begun(served: Front, modiste, tmp_path: Path) -> None:
    file = tmp_path / "all.sql"
    file.write_text("-- two statements\nSELECT 1 AS one;\nSELECT NULL AS nothing;\n")
    done = modiste("sql", "-f", file)
    assert (done.code, "NULL" in done.out) == (0, True)
    file.write_text("CREATE PROJECT begun;\nSELECT 'a")
    assert "does not end (line 2, column" in modiste("sql", "-f", file).err
    assert "begun" not in modiste("sql", "-c", "SHOW DATABASES").out
    assert "cannot be read" in modiste("sql", "-f", tmp_path / "none.sql").err


def test_standard_input_is_read_where_no_person_types(
    served: Front, modiste, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 6 * 7 AS answer"))
    assert "42" in modiste("sql").out
    assert modiste("sql", "-c", "SELECT 1", "-f", "x.sql").code == 2


def typed(talk: sql.Talk, *lines: str | type[BaseException]) -> list[str]:
    """The prompts that a person who types these lines sees."""
    seen: list[str] = []
    left = iter([*lines, EOFError])

    def read(prompt: str) -> str:
        seen.append(prompt)
        line = next(left)
        if isinstance(line, str):
            return line
        raise line

    sql._converse(talk, read)
    return seen


def test_a_conversation_takes_statements_of_many_lines(talk: sql.Talk, capsys) -> None:
    prompts = typed(talk, "SELECT 'a;", "b' AS it", ";", "SELECT 2 AS two;")
    assert prompts == ["mindsdb> ", "   … ", "   … ", "mindsdb> ", "mindsdb> "]
    said = capsys.readouterr()
    assert "a;" in said.out
    assert "two" in said.out


def test_an_error_or_ctrl_c_does_not_end_it_and_q_does(talk: sql.Talk, capsys) -> None:
    typed(talk, "SELECT * FROM nope.t;", "SELECT half", KeyboardInterrupt, "SELECT 3 AS three;")
    said = capsys.readouterr()
    assert "error: Database does not exist: nope (1049)" in said.err
    assert "three" in said.out
    assert len(typed(talk, "\\q", "SELECT 4;")) == 1


def test_names_and_words_are_completed(talk: sql.Talk) -> None:
    talk.ask("CREATE PROJECT finery")
    complete = sql.Names(talk)
    assert complete("fin") == ["FINETUNE", "finery"]
    assert complete("information") == ["information_schema"]
