"""What CI reads of a gate."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

from scripted_runs import run, shares

from modiste.evaluate.gate import check
from modiste.evaluate.gate_result import Condition, Outcome
from modiste.evaluate.gate_spec import Gate
from modiste.evaluate.junit import junit_xml

GATE = Gate.model_validate(
    {
        "name": "support <bot>",
        "primary": {"metric": "exact"},
        "floors": [
            {"metric": "exact", "at_least": 0.9},
            {"metric": "exact", "at_least": 0.68},
        ],
    }
)


def test_each_condition_is_a_case_and_what_is_not_known_is_an_error_not_a_failure() -> None:
    new, old = run("b", {"exact": shares(200, 140)}), run("a", {"exact": shares(200, 100)})
    root = ET.fromstring(junit_xml(check(GATE, [new], [old])))
    suite = root[0]
    assert (suite.get("name"), suite.get("tests")) == ("support <bot>", "4")
    assert (suite.get("failures"), suite.get("errors")) == ("1", "1")
    kinds = {case.get("name"): case[0].tag for case in suite.iter("testcase")}
    assert kinds == {
        "better on exact.mean": "system-out",
        "exact.mean at least 90 %": "failure",
        "exact.mean at least 68 %": "error",
        "parity passed": "system-out",
    }
    properties = {p.get("name"): p.get("value") for p in suite.iter("property")}
    assert properties["outcome"] == "fail"
    assert "evrun_b" in str(properties["candidate"])


def test_control_characters_in_names_do_not_break_the_file() -> None:
    found = check(
        GATE, [run("b", {"exact": shares(200, 140)})], [run("a", {"exact": shares(200, 9)})]
    )
    strange = replace(
        found, conditions=(Condition("a\x00b", Outcome.FAIL, 'said "\x1b[31m" & <x>'),)
    )
    (case,) = ET.fromstring(junit_xml(strange)).iter("testcase")
    assert case.get("name") == "a\ufffdb"
    assert "& <x>" in str(case[0].get("message"))
