"""The real worker with a trainer that only counts and a parity check that is always content."""

from __future__ import annotations

from modiste.types import Parity
from modiste.work import finetune, parity, worker

finetune.TRAINERS["local"] = "standin_trainer"
parity.check = lambda *_, **__: Parity(True, 1, 1, 0.0, 0.0, 1e-3, 0.5, "Taken on trust.")

if __name__ == "__main__":
    raise SystemExit(worker.main([]))
