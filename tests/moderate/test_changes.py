"""Versions of a policy are compared part by part, whatever their order."""

from modiste.moderate.changes import Change, as_json, changes
from modiste.moderate.policy import from_json


def test_every_change_is_named_by_what_it_is_part_of() -> None:
    category = {"code": "a", "definition": "d"}
    words = {"name": "w", "kind": "words", "category": "a", "words": ["x"]}
    before = from_json({"name": "p", "categories": [category], "detectors": [words]}, file="p")
    after = from_json(
        {
            "name": "p",
            "description": "new",
            "categories": [{"code": "b", "definition": "e"}, {**category, "threshold": 0.7}],
            "detectors": [{**words, "on_error": "open"},
                          {"name": "l", "kind": "length", "category": "b", "max_characters": 5}],
        },
        file="p",
    )  # fmt: skip
    told = {change.path: (change.before, change.after) for change in changes(before, after)}
    assert told["description"] == ("", "new")
    assert told["categories.a.threshold"] == (0.5, 0.7)
    assert told["detectors.w.on_error"] == ("closed", "open")
    assert told["categories.b"][0] is None
    assert told["detectors.l"][1]["max_characters"] == 5
    assert len(told) == 5
    assert changes(after, after) == ()
    assert changes(after, before)[0] == Change("description", "new", "")
    assert from_json(as_json(after), file="p") == after
