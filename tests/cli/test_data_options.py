"""Files, bases and formats are named in one way by all commands."""

from __future__ import annotations

import sys

import pytest

from modiste.cli import data_options, tokenizers
from modiste.cli.data_options import length_for, named, progress, whose
from modiste.errors import InvalidInput
from modiste.prepare.checks.findings import Progress


def test_templates_may_stand_among_the_files(training_file):
    found = named([str(training_file), "assistant={a}"], None, ["user={q}"])

    assert [file.path for file in found.files] == [training_file]
    assert found.columns is not None
    assert found.columns.names() == {"q", "a"}


def test_no_file_and_a_missing_file_are_wrong_usage(tmp_path):
    with pytest.raises(InvalidInput, match="name at least one file"):
        named(None, None, None)
    with pytest.raises(InvalidInput, match=r"gone\.jsonl"):
        named([str(tmp_path / "gone.jsonl")], None, None)


def test_the_length_is_the_one_a_job_would_choose(home):
    tiny, seven_b = tokenizers.resolve(None), tokenizers.resolve("open-mistral-7b")

    assert length_for(tiny, None) == tiny.base.max_context_length
    assert length_for(seven_b, None) == 8_192, "the plan's bound, not all the base could read"
    assert length_for(seven_b, 300) == 300
    assert length_for(None, None) is None
    assert whose(seven_b, 8_192).endswith("sequences of at most 8,192")


def test_progress_is_told_of_large_files_to_people_only(monkeypatch, capsys):
    assert progress() is None, "nobody watches a test"

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show = progress()
    assert show is not None
    show(Progress("small.jsonl", 10, 100))
    assert capsys.readouterr().err == ""
    size = data_options.WORTH_WATCHING_BYTES
    show(Progress("large.jsonl", size // 2, size))
    assert "large.jsonl: 50% of 20.0 MB" in capsys.readouterr().err
    show(Progress("large.jsonl", size, size))
    assert capsys.readouterr().err == "\r\x1b[K", "the line is wiped at the end"


def test_processors_are_those_this_process_may_use():
    assert data_options.processors() >= 1
