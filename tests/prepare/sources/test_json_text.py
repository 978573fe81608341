from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.sources.json_text import flaw, hint, repeated_keys

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


def told(text: bytes):
    found = flaw(text, orjson.loads(text))
    return (found.path, found.code) if found else None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b'{"a": 1, "a": 1}', "a"),
        (b'{"messages": [{"content": "x"}, {"content": "x", "content": "y"}]}', None),
        (b'{"\\u0061": 1, "a": 2}', "a"),
        (b'{"t": "\\u0022\\u0022", "a": 1, "a": 2}', "a"),
        (b'{"t": {"f": {"k": [], "k": {}}}}', "t.f.k"),
    ],
)
def test_a_key_that_stands_twice_is_found_wherever_it_stands(text, path):
    assert told(text) == (path or "messages[1].content", "key_repeated")


def test_nesting_that_cannot_be_written_again_is_a_flaw():
    assert told(b"[" * 254 + b"]" * 254) is None
    assert told(b"[" * 300 + b"]" * 300) == ("", "nested_too_deep")


@given(VALUES, st.booleans(), st.sampled_from([None, 2]))
def test_json_that_repeats_nothing_has_no_flaw(value, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode(errors="replace")

    assert flaw(text, orjson.loads(text)) is None


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES, min_size=1))
def test_a_repeated_key_is_never_missed(value):
    pairs = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
    text = ("{" + ", ".join([*pairs, pairs[0]]) + "}").encode()

    assert ("", next(iter(value))) in list(repeated_keys(text))
    assert flaw(text, orjson.loads(text)) is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ('{"a": 1e999}', "too large"),
        ('{"a": "\\ud800"}', "surrogate"),
        ("{'a': 1}", "Python"),
        ('{"a": True}', "Python"),
        ('{1: "a"}', "keys are strings"),
        ('{"a": 1,}', "last comma"),
        ('{"a": 1}{"a": 2}', "break the line"),
        ('{"a": 1}\r{"a": 2}', "carriage return"),
        ('{"a": "x\0"}', "NUL"),
        ("[{", "pretty-printed"),
        ('{"a": "begins', "cut off"),
        ("nonsense", None),
    ],
)
def test_the_hint_names_what_was_done(text, said):
    with pytest.raises(orjson.JSONDecodeError) as caught:
        orjson.loads(text)

    told = hint(text, caught.value.pos)

    assert (told is None) if said is None else (said in told)
