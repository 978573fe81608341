"""What a report of variety shows to be missing, to be too much alike, or unlike production."""

from __future__ import annotations

from typing import Any

import numpy as np

ALIKE = 0.9
"""Cosine from which two prompts are nearly the same."""
NO_VALUE = ("0", "not told", "no words")
"""Never named thin: nobody wants more of these."""


def thin_spots(report: dict[str, Any], least: float) -> list[dict[str, Any]]:
    """Values that few rows have, topics that few are about, cells of the policy short of their
    target; what is there least comes first."""
    found = []
    for dimension, table in report["tables"].items():
        found += [
            {"dimension": dimension, "value": value, "rows": n, "share": n / report["looked_at"]}
            for value, n in table.items()
            if n < least * report["looked_at"] and value not in NO_VALUE
        ]
    found += [
        {"dimension": "topic", "value": each["name"], "rows": each["rows"], "share": each["share"]}
        for each in report["topics"]["clusters"]
        if each["share"] < least
    ]
    spots = [{**spot, "share": round(spot["share"], 4)} for spot in found]
    spots.sort(key=lambda spot: spot["rows"])
    for gap in (report["policy"] or {"gaps": []})["gaps"]:
        value = " · ".join(
            part for part in (gap["category"], gap["kind"], gap["task"]) if part != "any"
        )
        spots.append(
            {"dimension": "policy", "value": value, "rows": gap["rows"], "wanted": gap["gap"]}
        )
    return spots


def one_sided(report: dict[str, Any]) -> list[str]:
    """What too many rows have in common."""
    found = []
    if len(report["topics"]["clusters"]) > 2 and report["topics"]["largest_share"] > 0.5:
        largest = report["topics"]["clusters"][0]
        found.append(f"{largest['share']:.0%} of the rows are about one topic ({largest['name']})")
    if report["openings"] and report["openings"][0]["share"] > 0.25:
        first = report["openings"][0]
        found.append(f"{first['share']:.0%} of the prompts begin with \u201c{first['words']}\u201d")
    alike = report["likeness"]
    if alike["compared"] >= 50 and alike["nearest_cosine"] > ALIKE:
        found.append(
            f"half of the prompts have another that is nearly the same (cosine above {ALIKE}); "
            "`modiste data dedup` finds them"
        )
    if alike["compared"] >= 200 and alike["vendi_share"] < 0.05:
        found.append(
            f"{alike['compared']:,} prompts are as various as {alike['vendi']:.0f} altogether "
            "different ones (Vendi score)"
        )
    return found + list((report["policy"] or {}).get("warnings", []))


def divergence(one: dict[str, int], other: dict[str, int]) -> float:
    """Jensen and Shannon's, in bits: 0 where shares are equal, 1 where nothing is common."""
    values = list(dict.fromkeys([*one, *other]))
    p, q = (np.asarray([table.get(v, 0) for v in values], dtype=float) for table in (one, other))
    if not p.sum() or not q.sum():
        return float(bool(p.sum()) != bool(q.sum()))
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    parts = [float((x[x > 0] * np.log2(x[x > 0] / middle[x > 0])).sum()) for x in (p, q)]
    return sum(parts) / 2
