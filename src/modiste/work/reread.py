"""A certificate without the engine: the files of a model read afresh, by transformers.

For bases and adapters that the built-in engine does not compute. `python -m modiste.work.reread
RUN_DIR` is the child: it reads RUN_DIR/reread-request.json, loads base and adapter from their files
in float32, nothing of the trainer's, and writes the log-probabilities of every row to
RUN_DIR/reread.json. A process of its own, so that the worker never holds a model.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modiste.errors import ModisteError, ParityFailed
from modiste.work.local import Child, Died, write_json

REQUEST, ANSWER, LOG = "reread-request.json", "reread.json", "reread.log"
MODULE = "modiste.work.reread"
LOOK_S = 0.1


def logprobs(
    run_dir: Path,
    rows: Sequence[Sequence[int]],
    *,
    base: Path,
    adapter: Path | None,
    environment: Mapping[str, str],
    still_wanted: Callable[[], None] = lambda: None,
    timeout_s: float = 600.0,
) -> list[list[float]]:
    """Log-probabilities of each row's ids behind its first.

    Raises:
        ParityFailed: the files could not be read or computed, or it took longer than `timeout_s`.
    """
    (run_dir / ANSWER).unlink(missing_ok=True)
    named = None if adapter is None else str(adapter)
    write_json(run_dir / REQUEST, {"base": str(base), "adapter": named, "rows": [*map(list, rows)]})
    child = Child.start(MODULE, run_dir, environment=environment, log_name=LOG)
    deadline = time.monotonic() + timeout_s
    try:
        while child.exit_code is None:
            still_wanted()
            if time.monotonic() > deadline:
                raise _unchecked(f"did not end within {timeout_s:.0f} s")
            time.sleep(LOOK_S)
    finally:
        child.kill()
    try:
        answer = json.loads((run_dir / ANSWER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        how = Died(child.exit_code or 0, child.last_words()).how
        raise _unchecked(f"{how}. It said last: {child.last_words() or 'nothing'}") from None
    if "error" in answer:
        raise _unchecked(f"failed: {answer['error']}")
    return [[float(value) for value in row] for row in answer["rows"]]


def _unchecked(what: str) -> ParityFailed:
    return ParityFailed(
        f"Reading the model's files afresh {what}. So it could not be checked and was not "
        "published; the files are kept.",
        code="parity_unchecked",
    )


def computed(base: Path, adapter: Path | None, rows: Sequence[Sequence[int]]) -> list[list[float]]:
    """The child's work."""
    import torch

    from modiste.nn import proof
    from modiste.nn.changes import read_changes
    from modiste.nn.loading import load_base
    from modiste.nn.tensor_files import TensorFiles

    model = load_base(base, dtype=torch.float32).model
    if adapter is not None:
        proof.apply(model, read_changes(adapter, TensorFiles(base).config))
    found = []
    for ids in rows:
        (logits_NV,) = proof.logits_of(model, [ids])
        chosen = logits_NV[:-1].log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])
        found.append([float(value) for value in chosen[:, 0]])
    return found


def main(argv: list[str] | None = None) -> int:
    (run_dir,) = map(Path, sys.argv[1:] if argv is None else argv)
    request = json.loads((run_dir / REQUEST).read_text(encoding="utf-8"))
    adapter = None if request["adapter"] is None else Path(request["adapter"])
    try:
        answer = {"rows": computed(Path(request["base"]), adapter, request["rows"])}
    except ModisteError as error:
        write_json(run_dir / ANSWER, {"error": error.message})
        return 0
    write_json(run_dir / ANSWER, answer)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
