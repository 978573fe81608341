"""Models through the command line."""


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
