"""A runner of batches that answers by itself: what the home's standin.json says, line by line."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from modiste.actions.batch_lines import Checked, ask_of, found_in
from modiste.types import BatchCounts, Problem
from modiste.work import journal as journals
from modiste.work.batch import REQUEST, REQUESTS, State, write_state
from modiste.work.journal import Journal, Sign, entries


def main() -> None:
    run_dir = Path(sys.argv[1])
    how = json.loads((Path(os.environ["MODISTE_HOME"]) / "standin.json").read_text())
    request = REQUESTS.validate_json((run_dir / REQUEST).read_bytes())
    if message := how.get("refuse"):
        problem = Problem("in", 1, "body", "wrong", message)
        return write_state(run_dir, State(ended=True, refused=Checked(1, (problem,), 1)))
    asks = [ask_of(found, model=None) for found in found_in(request.inputs)]
    journal = Journal(run_dir / journals.NAME)
    signs = {e.place: e.sign for e in entries(run_dir / journals.NAME)}
    for ask in asks:
        if ask.n in signs:
            continue
        if ask.n == how.get("die_at"):
            sys.exit(9)
        if (run_dir / "pause").exists():
            return
        sign = Sign.FAILED if ask.n in how.get("fail", ()) else Sign.SUCCEEDED
        if (run_dir / "cancel").exists():
            sign = Sign.NOT_RUN
        else:
            time.sleep(how.get("step_s", 0))
        journal.append(ask.n, sign, json.dumps({"custom_id": ask.custom_id}).encode())
        signs[ask.n] = sign
        done = list(signs.values())
        counts = BatchCounts(len(asks), done.count(Sign.SUCCEEDED), done.count(Sign.FAILED))
        write_state(run_dir, State(counts, running=True))
    write_state(run_dir, State(counts, running=True, ended=True))


if __name__ == "__main__":
    main()
