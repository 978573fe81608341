"""Policies through the command line."""

from __future__ import annotations

from pathlib import Path

POLICY = """name: shop
categories:
- code: rivals
  definition: Praises another shop
detectors:
- {name: w, kind: words, category: rivals, words: [Globex]}
"""


def test_a_policy_is_added_changed_compared_attached_and_deleted(modiste, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    told = modiste("policies", "add", str(file))
    assert told.code == 0, told.err
    assert "shop is kept, version 1" in told.err
    file.write_text(POLICY.replace("Praises", "Recommends"))
    assert "version 2" in modiste("policies", "add", str(file), "--comment", "wider").err
    assert "Recommends another shop" in modiste("policies", "diff", "shop").out
    assert "wider" in modiste("policies", "show", "shop", "--versions").out
    assert "guards model modiste-tiny" in modiste(
        "policies", "attach", "shop", "--model", "modiste-tiny"
    ).err  # fmt: skip
    assert "model modiste-tiny" in modiste("policies", "list").out
    assert "rivals" in modiste("policies", "show", "shop").out
    assert modiste("policies", "delete", "shop").code != 0
    assert modiste("policies", "detach", "shop", "--model", "modiste-tiny").code == 0
    assert modiste("policies", "delete", "shop").code == 0
    assert "No policies" in modiste("policies", "list").err


def test_what_is_wrong_with_a_file_is_said_with_its_line(modiste, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY + "severty: 1\n")
    told = modiste("policies", "add", str(file))
    assert told.code == 2
    assert "line 7" in told.err
    assert modiste("policies", "attach", "shop").code == 2
