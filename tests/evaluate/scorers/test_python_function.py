"""A scoring function of the user's own, in a child without network."""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Answer, Item, Status


@pytest.fixture
def scored_by(bench):
    made = []

    def graded(body: str, text: str = "Bern", reference: object = "Bern", **options):
        made.append(bench("python", source=f"def score(item, answer):\n{body}", **options))
        return made[-1].score(text, reference, topic="x")

    yield graded
    for each in made:
        each.scorer.close()


def test_a_number_or_an_object_is_a_score(scored_by) -> None:
    assert scored_by('  return answer["text"] == item["reference"]').value == 1
    told = scored_by(
        '  return {"value": 0.25, "label": item["row"]["topic"], "reason": "so", "n": 3}'
    )
    assert (told.value, told.label, told.reason, told.detail) == (0.25, "x", "so", {"n": 3})
    none = scored_by('  return {"value": None, "reason": "nothing to see"}')
    assert (none.status, none.reason) == (Status.SKIPPED, "nothing to see")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("  x = 1\n  return 1 / 0", "score: line 3: ZeroDivisionError: division by zero"),
        ("  return 7", "it returned 7, off the scale 0 to 1"),
        ("  return 'good'", "it returned 'good', expected a number"),
        ("  return None", "expected a number"),
        ("  return float('nan')", "ValueError"),
        ("  raise SystemExit(3)", "line 2: SystemExit: 3"),
        ("  return {1, 2}", "TypeError"),
    ],
)
def test_what_goes_wrong_is_an_error_with_line_and_message(scored_by, body: str, said: str) -> None:
    score = scored_by(body)
    assert score.status is Status.ERROR
    assert said in score.reason


def test_code_that_does_not_compile_is_refused_with_the_suite(bench) -> None:
    with pytest.raises(InvalidInput, match="source line 2"):
        bench("python", source="def score(item, answer):\n  return (")


def test_the_network_is_not_there(scored_by) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        body = f"  import socket\n  socket.create_connection(('127.0.0.1', {port}), 2)\n  return 1"
        assert "may not use socket." in scored_by(body).reason
        raw = (
            "  import _socket\n  s = _socket.socket()\n"
            f"  s.connect(('127.0.0.1', {port}))\n  return 1"
        )
        assert scored_by(raw).status is Status.ERROR


@pytest.mark.parametrize(
    "body",
    [
        "  import os\n  os.system('true')\n  return 1",
        "  import subprocess\n  subprocess.run(['true'])\n  return 1",
        "  import os\n  return float(os.fork() == 0)",
        "  x = 'y' * (3 << 30)\n  return 1",
    ],
)
def test_processes_and_memory_are_refused(scored_by, body: str) -> None:
    assert scored_by(body).status is Status.ERROR


def test_files_of_ours_are_out_of_reach_where_the_kernel_can_do_it(bench, tmp_path: Path) -> None:
    secret = tmp_path / "secret.key"
    secret.write_text("s3cret")
    source = f"def score(item, answer):\n  return float(len(open({str(secret)!r}).read()) > 0)"
    python = bench("python", source=source)
    score = python.score("x")
    guards = python.scorer._child.guards
    (mean,) = python.scorer.metrics([python.sample(Item("k", {}), "x")])
    python.scorer.close()
    if guards["files"] != "landlock":
        assert "does not keep scorers from" in mean.notes[0]
        pytest.skip("this kernel has no Landlock")
    assert "PermissionError" in score.reason


def test_a_function_without_end_is_stopped_and_the_next_answer_is_graded(bench) -> None:
    source = "def score(item, answer):\n  while answer['text'] == 'hang': pass\n  return 1"
    python = bench("python", source=source, limit_s=0.5)
    assert python.score("fine").value == 1
    started = time.monotonic()
    assert python.score("hang").status is Status.TIMEOUT
    assert time.monotonic() - started < 20
    assert python.score("fine").value == 1
    python.scorer.close()


def test_prints_do_not_disturb_and_a_hundred_answers_take_one_process(bench) -> None:
    source = (
        "import os\ndef score(item, answer):\n  print('{}')\n"
        "  return {'value': 1, 'pid': os.getpid()}"
    )
    python = bench("python", source=source)

    async def all_of_them() -> set[int]:
        graded = (python.scorer.score(Item(str(at), {}), Answer("x"), None) for at in range(100))
        return {score.detail["pid"] for score in await asyncio.gather(*graded)}

    assert len(asyncio.run(all_of_them())) == 1
    python.scorer.close()


def test_its_own_scale_and_direction(bench) -> None:
    python = bench(
        "python", source="def score(i, a): return 42", scale=None, unit="points",
        higher_is_better=False,
    )  # fmt: skip
    samples = [python.sample(Item(k, {}), "x") for k in "ab"]
    (mean,) = python.scorer.metrics(samples)
    python.scorer.close()
    assert (mean.estimate.value, mean.unit, mean.higher_is_better) == (42, "points", False)
