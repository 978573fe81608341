"""The harness as a child process. Its interpreter here is a script that stands for it: the real
one takes half a minute to start, and `tests/journeys/test_lm_eval.py` runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from modiste.cli import lm_eval_tool
from modiste.errors import InvalidInput, NotFound, Unavailable

STANDIN = """#!/bin/sh
case "$2" in
  pip) exit 0 ;;
  -c) [ -n "{version}" ] && echo {version}; exit 0 ;;
  -m) printf '%s\\n' "$@" > {folder}/arguments; env > {folder}/environment
      echo Requesting API: 100%; echo 'ValueError: no such task: bees' >&2
      {then} ;;
esac
exit {code}
"""


def standin(folder: Path, *, version: str = "0.4.13", then: str = ":", code: int = 0) -> Path:
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STANDIN.format(version=version, folder=folder, then=then, code=code))
    python.chmod(0o755)
    return python


def test_an_environment_that_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    python = standin(tmp_path / "mine")
    assert lm_eval_tool.interpreter(tmp_path / "mine", make=False) == python
    assert lm_eval_tool.version_in(python) == "0.4.13"


@pytest.mark.parametrize(
    ("version", "kind", "said"),
    [
        ("", NotFound, r"has no lm-eval\. Type: .*bin/python -m pip install 'lm-eval\[api\]=="),
        ("0.4.9", InvalidInput, r"has lm-eval 0\.4\.9, and 0\.4\.10 is needed"),
        ("0.4.9.post1", InvalidInput, r"0\.4\.10 is needed"),
    ],
)
def test_one_without_the_harness_says_what_to_type(
    tmp_path: Path, version: str, kind: type[Exception], said: str
) -> None:
    standin(tmp_path / "mine", version=version)
    with pytest.raises(kind, match=said):
        lm_eval_tool.interpreter(tmp_path / "mine", make=False)


def test_a_folder_that_is_no_environment_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no virtual environment"):
        lm_eval_tool.interpreter(tmp_path, make=False)


@pytest.fixture
def made_by(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Environments are made of stand-ins; the list is of what was made."""
    made: list[str] = []

    def create(folder: Path, *, with_pip: bool) -> None:
        assert with_pip
        made.append(str(folder))
        standin(folder)

    monkeypatch.setattr(lm_eval_tool.venv, "create", create)
    return made


def test_ones_own_is_made_once(
    tmp_path: Path, made_by: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tools" / "lm-eval"
    for _ in range(2):
        python = lm_eval_tool.interpreter(folder, make=True)
    assert python == folder / "bin" / "python"
    assert made_by == [str(folder)]
    assert "Installing lm-eval[api]==0.4.13" in capsys.readouterr().err


def test_one_that_was_left_half_made_is_made_anew(tmp_path: Path, made_by: list[str]) -> None:
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "rest").touch()
    lm_eval_tool.interpreter(tmp_path / "half", make=True)
    assert made_by == [str(tmp_path / "half")]
    assert not (tmp_path / "half" / "rest").exists()


def test_without_a_network_it_says_what_to_type_and_begins_anew_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create(folder: Path, *, with_pip: bool) -> None:
        python = standin(folder)
        python.write_text("#!/bin/sh\necho 'ERROR: no network' >&2\nexit 1\n")

    monkeypatch.setattr(lm_eval_tool.venv, "create", create)
    with pytest.raises(Unavailable) as caught:
        lm_eval_tool.interpreter(tmp_path / "new", make=True)
    for part in (
        "ERROR: no network",
        "python3 -m venv DIR",
        "'lm-eval[api]==0.4.13'",
        "--venv DIR",
    ):
        assert part in caught.value.message
    assert not (tmp_path / "new" / lm_eval_tool.MADE).exists()


def test_the_key_is_in_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODISTE_API_KEY", "s3cret")
    monkeypatch.setenv("NO_PROXY", "intranet")
    python = standin(tmp_path / "mine", then=f"touch {tmp_path}/out/results_now.json")
    lm_eval_tool.run(python, {"tasks": ["bees"]}, tmp_path / "out", key="s3cret")
    environment = (tmp_path / "mine" / "environment").read_text().splitlines()
    assert "OPENAI_API_KEY=s3cret" in environment
    assert "NO_PROXY=intranet,127.0.0.1,localhost" in environment
    assert not any(line.startswith("MODISTE_") for line in environment)
    assert "s3cret" not in (tmp_path / "mine" / "arguments").read_text()
    told = yaml.safe_load((tmp_path / "out" / lm_eval_tool.CONFIG).read_text())
    assert told == {"tasks": ["bees"], "output_path": str(tmp_path / "out")}
    assert "Requesting API: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(("then", "code"), [(":", 1), (":", 0)])
def test_an_end_without_results_is_told_with_its_last_words(
    tmp_path: Path, then: str, code: int
) -> None:
    python = standin(tmp_path / "mine", then=then, code=code)
    with pytest.raises(Unavailable) as caught:
        lm_eval_tool.run(python, {}, tmp_path / "out", key=None)
    assert caught.value.error_code == "lm_eval_failed"
    assert caught.value.message.endswith("ValueError: no such task: bees")
    assert str(tmp_path / "out" / lm_eval_tool.LOG) in caught.value.message


def test_a_server_without_keys_gets_one_that_is_none() -> None:
    assert lm_eval_tool.environment(None)["OPENAI_API_KEY"] == "none"
    assert lm_eval_tool.environment(None).get("PATH") == os.environ.get("PATH")
    assert json.dumps(lm_eval_tool.WANTED).count("torch") == 0
