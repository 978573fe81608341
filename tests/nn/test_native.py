"""Compiled variants: each that this processor runs is found, and none is needed."""

import pytest

from modiste.nn import native


@pytest.fixture
def found(monkeypatch):
    def with_variable(value):
        if value is None:
            monkeypatch.delenv(native.VARIABLE, raising=False)
        else:
            monkeypatch.setenv(native.VARIABLE, value)
        native.library.cache_clear()
        return native.library()

    yield with_variable
    native.library.cache_clear()


def test_the_best_variant_is_taken_unless_another_is_named(found):
    built = [variant for variant in native.VARIANTS if native.open_variant(variant)]
    if not built:
        assert found(None) is None
        pytest.skip("built without a compiler")
    assert found(None).variant == built[0]
    assert found("plain").variant == "plain"
    assert found("off") is None


def test_a_library_of_another_version_is_never_called(found, monkeypatch, caplog):
    if found(None) is None:
        pytest.skip("built without a compiler")
    monkeypatch.setattr(native, "LAYOUT", native.LAYOUT + 1)
    assert found(None) is None
    assert "is of another version and not used" in caplog.text


def test_structures_are_as_large_as_in_c():
    # Eight bytes a field, the float of CDecoder filled up to eight.
    import ctypes

    assert ctypes.sizeof(native.CLinear) == 7 * 8
    assert ctypes.sizeof(native.CFeedForward) == 2 * 7 * 8
    assert ctypes.sizeof(native.CLayer) == 4 * 8 + 5 * 7 * 8 + 2 * 8
    assert ctypes.sizeof(native.CDecoder) == 9 * 8 + 4 * 8
    assert ctypes.sizeof(native.CSegment) == 5 * 8
    assert ctypes.sizeof(native.CSite) == 5 * 8
    assert ctypes.sizeof(native.CSpan) == 5 * 8
