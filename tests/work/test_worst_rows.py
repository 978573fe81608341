"""The rows a model finds hardest, with what stands in them and nothing private."""

from __future__ import annotations

import json
from pathlib import Path

from modiste.tune.mixture import Origin
from modiste.tune.worst import Ranked, Worst
from modiste.work.training_rows import DataFile
from modiste.work.worst_rows import report


def test_a_row_is_told_by_place_loss_and_masked_excerpt(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    rows = [
        [("user", "Where?"), ("assistant", "Here.")],
        [("user", "Who?"), ("assistant", "Write to anna.meier@firma-meier.de " + "please " * 60)],
    ]
    lines = [{"messages": [{"role": r, "content": c} for r, c in row]} for row in rows]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = DataFile(path, "chats.jsonl", 1.0, frozenset())
    ranked = [
        Ranked(Origin("chats.jsonl", 2), 7.5, 60),
        Ranked(Origin("chats.jsonl", 1), float("nan"), 2),
    ]
    found = report([Worst("training", ranked, float("nan"), 2, 2)], [file])
    json.dumps(found, allow_nan=False)
    (part,) = found["parts"]
    assert part["mean_loss"] is None
    hard, broken = part["rows"]
    assert (hard["file"], hard["line"], hard["loss"]) == ("chats.jsonl", 2, 7.5)
    assert hard["asked"] == "Who?"
    assert "anna.meier" not in json.dumps(found)
    assert hard["answer"].startswith("Write to ")
    assert len(hard["answer"]) <= 120
    assert (broken["loss"], broken["answer"]) == (None, "Here.")
