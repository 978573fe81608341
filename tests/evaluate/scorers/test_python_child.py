"""The program that runs a user's function, asked in this process where nothing is given up."""

from modiste.evaluate.scorers.python_child import answer


def request(source: str, *arguments: object) -> dict[str, object]:
    return {"source": source, "function": "f", "arguments": arguments}


def test_the_source_runs_once_and_its_function_for_every_request() -> None:
    kept: dict[str, object] = {}
    source = "seen = []\ndef f(x):\n  seen.append(x)\n  return len(seen)"
    assert answer(request(source, "a"), kept) == {"value": 1}
    assert answer(request(source, "b"), kept) == {"value": 2}
    assert answer(request(source + "\n", "c"), kept) == {"value": 1}


def test_errors_name_the_line_of_the_source() -> None:
    assert answer(request("def f():\n  pass\nf(1)"), {})["error"].startswith("line 3: TypeError")
    assert answer(request("def f(:"), {})["error"].startswith("line 1: SyntaxError")
    assert answer(request("x = 1"), {}) == {"error": "it defines no function f"}
    assert "not JSON serializable" in answer(request("def f(): return object()"), {})["error"]
