"""Models through the command line."""

from modiste.cli.models import certificate_fields


def test_the_shipped_base_is_listed_and_described(modiste) -> None:
    assert "modiste-tiny" in modiste("models", "list").out
    shown = modiste("models", "show", "modiste-tiny")
    can = "completion_chat, function_calling, fine_tuning"
    assert can in " ".join(shown.out.split())


def test_a_base_model_cannot_be_deleted(modiste) -> None:
    assert modiste("models", "delete", "modiste-tiny").code == 1


def test_a_name_that_is_not_installed_says_what_to_type(modiste) -> None:
    result = modiste("models", "show", "open-mistral-7b")
    assert result.code == 1
    assert "modiste models add" in result.err


def test_a_folder_that_is_no_base_model_is_refused(modiste, tmp_path) -> None:
    result = modiste("models", "add", "mine", "--path", tmp_path)
    assert result.code != 0
    assert str(tmp_path) in result.err


def test_an_update_without_changes_is_wrong_usage(modiste) -> None:
    result = modiste("models", "update", "ft:x")
    assert (result.code, "--name" in result.err) == (2, True)


CERTIFICATE = {
    "message": "Served as trained: 8 rows.",
    "warning": "serve_linear is int8 now, and in int8 this model is not within tolerance.",
    "forms": [
        {"name": "fp32", "status": "passed", "message": "through the live engine"},
        {"name": "int8", "status": "apart", "message": "0.2 apart on average"},
    ],
}


def test_a_certificate_is_a_line_for_what_decided_and_one_for_each_form() -> None:
    assert certificate_fields(CERTIFICATE) == [
        ("certificate", "Served as trained: 8 rows."),
        ("  fp32", "passed; through the live engine"),
        ("  int8", "NOT WITHIN TOLERANCE; 0.2 apart on average"),
        ("warning", CERTIFICATE["warning"]),
    ]
    assert certificate_fields(None) == []
