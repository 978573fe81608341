"""Where JSON values begin and end, whatever the chunks their bytes come in."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.sources import json_window
from modiste.prepare.sources.json_window import Broken, Window


def window(text: str) -> Window:
    return Window(io.BytesIO(text.encode()))


def test_values_end_where_they_close() -> None:
    text = window(' {"a": "]}\\""} [1, [2]] "x" 12,')
    values = [text.value(100) for _ in range(4)]
    assert values == [b'{"a": "]}\\""}', b"[1, [2]]", b'"x"', b"12"]
    assert text.peek() == b","


def test_lines_are_counted_through_space_and_values() -> None:
    text = window('\n\n{"a":\n1}\n[]')
    text.peek()
    assert text.line == 3
    text.value(100)
    assert (text.peek(), text.line) == (b"[", 5)


@pytest.mark.parametrize("text", ['{"a": 1', "[1, 2", '"abc', '{"a": "x}'])
def test_a_value_that_does_not_end_is_told(text: str) -> None:
    with pytest.raises(Broken) as told:
        window(text).value(100)
    assert told.value.code == "json_truncated"


@pytest.mark.parametrize("value", ["[" + "1," * 500, '"' + "x" * 500, "1" * 500])
def test_a_value_beyond_the_limit_is_told_before_it_is_held(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_window, "CHUNK_BYTES", 16)
    with pytest.raises(Broken) as told:
        window(value).value(100)
    assert told.value.code == "line_too_long"


values = st.recursive(
    st.text(max_size=6) | st.integers(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
)


@settings(max_examples=100, deadline=None)
@given(values, st.sampled_from([1, 5, 64]))
def test_a_value_is_found_whole_in_chunks_of_any_size(value: Any, chunk: int) -> None:
    whole, json_window.CHUNK_BYTES = json_window.CHUNK_BYTES, chunk
    try:
        text = window(f"  {json.dumps(value)} ,")
        text.peek()
        assert json.loads(text.value(10_000)) == value
        assert text.peek() == b","
    finally:
        json_window.CHUNK_BYTES = whole
