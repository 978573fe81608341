"""The child of a run with a model that answers by itself: what the home's standin.json says."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modiste.evaluate.items import Answer, Failure, Likelihood, Prompt
from modiste.work import eval_run


class StandIn:
    """Echoes the question; each answer is a line of the home's asked.txt."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.home = Path(os.environ["MODISTE_HOME"])
        self.how = json.loads((self.home / "standin.json").read_text())

    async def chat(self, model: str, prompt: Prompt) -> Answer:
        text = prompt.messages[-1].content or ""
        said = text
        if prompt.schema is not None:
            text, said = "(judge)", json.dumps({"evidence": [], "reason": "so", "score": 4})
        await asyncio.sleep(self.how.get("step_s", 0))
        if text == self.how.get("die_at"):
            os._exit(9)
        with (self.home / "asked.txt").open("a") as asked:
            asked.write(f"{model} {text}\n")
        if text in self.how.get("fail", ()) or self.how.get("fail") == "all":
            return Answer(failure=Failure("unavailable", "the stand-in is away"))
        return Answer(said, prompt_tokens=3, completion_tokens=2, cost_micro=5)

    async def revision(self, model: str) -> str:
        return model

    async def likelihoods(
        self, model: str, text: str, continuations: Sequence[str]
    ) -> tuple[Likelihood, ...]:
        raise AssertionError("nobody asks for likelihoods here")

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        raise AssertionError("nobody asks for embeddings here")


def main() -> int:
    eval_run.AskedModels = StandIn  # type: ignore[assignment,misc]
    how = StandIn().how
    eval_run.AT_ONCE = how.get("at_once", 4)
    eval_run.MAX_FAILURES_IN_A_ROW = how.get("patience", eval_run.MAX_FAILURES_IN_A_ROW)
    return eval_run.main()


if __name__ == "__main__":
    sys.exit(main())
