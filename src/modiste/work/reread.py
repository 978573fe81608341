"""The files of a model read afresh, in forms that nobody serves at the moment.

`python -m modiste.work.reread RUN_DIR` is the child: it reads RUN_DIR/reread-request.json, computes
each form that is asked for from the published files (forms.py), nothing of the trainer's, and
writes RUN_DIR/reread.json. A process of its own, so that the worker never holds a model. What the
built-in engine cannot compute gets its certificate here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from modiste.errors import ModisteError
from modiste.work.closeness import Answers
from modiste.work.local import Child, Died, write_json
from modiste.work.trained_rows import Row

REQUEST, ANSWER, LOG = "reread-request.json", "reread.json", "reread.log"
MODULE = "modiste.work.reread"
LOOK_S = 0.1
TRANSFORMERS = "published"
"""The form that is read with transformers, base and adapter as they lie."""
MERGED, TRANSFORMERS_MERGED = "merged", "published merged"


class Unread(NamedTuple):
    """Why a form was not computed, behind the words `reading the files afresh`."""

    reason: str


def answers(
    run_dir: Path,
    rows: Sequence[Row],
    *,
    forms: Sequence[str],
    base: Path,
    adapter: Path | None,
    environment: Mapping[str, str],
    still_wanted: Callable[[], None] = lambda: None,
    timeout_s: float = 600.0,
) -> dict[str, Answers | Unread]:
    """What each form says of the rows, or why it could not be computed: the files are broken, the
    form does not hold such a model, the child died, or it took longer than `timeout_s`."""
    (run_dir / ANSWER).unlink(missing_ok=True)
    write_json(run_dir / REQUEST, _request(rows, forms, base, adapter))
    child = Child.start(MODULE, run_dir, environment=environment, log_name=LOG)
    deadline = time.monotonic() + timeout_s
    late = False
    try:
        while child.exit_code is None and not late:
            still_wanted()
            late = time.monotonic() > deadline
            time.sleep(LOOK_S)
    finally:
        child.kill()
    end = Unread(f"did not end within {timeout_s:.0f} s" if late else _how_it_died(child))
    told = _left_behind(run_dir / ANSWER)
    return {form: _answer(told[form]) if form in told else end for form in forms}


def _how_it_died(child: Child) -> str:
    how = Died(child.exit_code or 0, child.last_words()).how
    return f"{how}. It said last: {child.last_words() or 'nothing'}"


def _left_behind(path: Path) -> dict[str, Any]:
    """What the child had computed; it writes after each form."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _answer(told: Mapping[str, Any]) -> Answers | Unread:
    if "error" in told:
        return Unread(f"failed: {told['error']}")
    return Answers(told["logprobs"], told["greedy"])


def _request(
    rows: Sequence[Row], forms: Sequence[str], base: Path, adapter: Path | None
) -> dict[str, Any]:
    return {
        "base": str(base),
        "adapter": None if adapter is None else str(adapter),
        "forms": list(forms),
        "rows": [row.ids for row in rows],
        "prompts": [[row.prompt, row.greedy.ids] for row in rows if row.greedy is not None],
    }


def computed(request: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The child's work, form by form."""
    from modiste.work import forms

    base = Path(request["base"])
    adapter = None if request["adapter"] is None else Path(request["adapter"])
    prompts = [forms.Prompt(*each) for each in request["prompts"]]
    for form in request["forms"]:
        try:
            yield form, forms.answers(form, base, adapter, request["rows"], prompts)._asdict()
        except ModisteError as error:
            yield form, {"error": error.message}


def main(argv: list[str] | None = None) -> int:
    (run_dir,) = map(Path, sys.argv[1:] if argv is None else argv)
    # Before torch is loaded: threads that spin while they wait take three times the work itself.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    request = json.loads((run_dir / REQUEST).read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = {}
    for form, told in computed(request):
        found[form] = told
        write_json(run_dir / ANSWER, found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
