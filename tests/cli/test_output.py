"""Words and numbers for people."""

import pytest

from modiste.cli import output
from modiste.errors import InvalidInput
from modiste.types import Problem


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (185, "3 min 5 s"), (7800, "2 h 10 min"),
     (4 * 86400, "4 d"), (None, "")],
)  # fmt: skip
def test_durations_read_well(seconds: float | None, text: str) -> None:
    assert output.duration(seconds) == text


def test_sizes_read_well() -> None:
    assert [output.size(n) for n in (0, 999, 1500, 12_000_000, 3 * 10**15)] == [
        "0 B", "999 B", "1.5 kB", "12.0 MB", "3000.0 TB",
    ]  # fmt: skip


def test_text_from_elsewhere_cannot_command_the_terminal() -> None:
    assert output.printable("a\x1b[2Jb\r\n\tc") == "a�[2Jb�\n\tc"


def test_many_problems_are_counted_not_scrolled(capsys: pytest.CaptureFixture[str]) -> None:
    problems = [Problem("f", n, "", "x", "bad") for n in range(1, 31)]
    assert output.fail(InvalidInput("30 bad rows", problems=problems), as_json=False) == 2
    err = capsys.readouterr().err
    assert err.count("bad\n") == output.PROBLEMS_SHOWN
    assert "… and 10 more" in err


def test_tables_in_a_pipe_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    long = "ft:" + "x" * 150
    output.print_table(["model", "note"], [(long, "y" * 100)], empty="")
    assert long in capsys.readouterr().out


def test_numbers_end_on_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["a", "n"], [("x", "1"), ("y", "1,000")], empty="", numbers=("n",))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len({len(line) for line in lines if line.endswith(("1", "1,000"))}) == 1
