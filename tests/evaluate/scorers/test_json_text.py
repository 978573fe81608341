"""Text that is JSON, and text that only looks like it."""

import pytest

from modiste.evaluate.scorers.json_text import equal_json, read_json, unfenced


@pytest.mark.parametrize("fence", ["```json\n[1]\n```", "```\n[1]```", " ```JSON \n[1]\n```\n"])
def test_a_fence_is_taken_off_only_when_it_is_the_whole(fence: str) -> None:
    assert read_json(fence, lenient=True) == [1]
    assert unfenced(f"So: {fence}") == f"So: {fence}"
    with pytest.raises(ValueError, match="not JSON"):
        read_json(fence)


@pytest.mark.parametrize("text", ["NaN", '{"a": 1, "a": 2}', "{'a': 1}", "[" * 5000, ""])
def test_what_looks_like_json_is_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|nested"):
        read_json(text)


def test_json_values_are_equal_by_value() -> None:
    assert equal_json({"a": [1, 2.0]}, {"a": [1.0, 2]})
    assert not equal_json(1, True)
    assert not equal_json([0], [False])
