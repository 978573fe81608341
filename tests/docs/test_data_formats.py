"""The page of formats names every format and container, and its commands run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from modiste.cli.app import run
from modiste.prepare.formats.kinds import Format

PAGE = (Path(__file__).parents[2] / "docs" / "data-formats.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("format", Format)
def test_every_format_has_its_row(format: Format) -> None:
    assert f"| `{format}` |" in PAGE


def test_the_commands_run_on_files_of_these_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pa, pq = (
        pytest.importorskip("pyarrow", reason="pip install 'modiste[data]'"),
        pytest.importorskip("pyarrow.parquet", reason="pip install 'modiste[data]'"),
    )
    monkeypatch.chdir(tmp_path)
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    rows = [{"conversations": turns}]
    pq.write_table(pa.Table.from_pylist(rows), "chats.parquet")
    Path("demo.json").write_text('[{"prompt": "q", "completion": "a"}]')
    Path("law.csv").write_text("en,fr\nyes,oui\n")
    [block] = re.findall(r"^```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    commands = [shlex.split(line, comments=True)[1:] for line in block.splitlines()]
    local = [arguments for arguments in commands if "hf://" not in " ".join(arguments)]
    assert [run(arguments) for arguments in local] == [0, 0, 0]
    assert len(commands) == 4
