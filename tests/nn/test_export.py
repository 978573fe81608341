"""nn/export.py: every form computes what base and adapter compute."""

from __future__ import annotations

import pytest

from modiste.nn.export import Form


def test_forms_are_named_as_people_type_them() -> None:
    assert [str(form) for form in Form] == ["peft", "mistral", "merged", "merged-mistral", "gguf"]
    with pytest.raises(ValueError, match="onnx"):
        Form("onnx")
