"""Aliases through the command line."""


def test_an_alias_is_set_listed_and_taken_away(modiste) -> None:
    told = modiste("models", "alias", "support-bot", "modiste-tiny")
    assert "support-bot is answered by modiste-tiny" in told.out + told.err
    listed = modiste("models", "aliases")
    assert "support-bot" in listed.out
    assert "modiste-tiny" in listed.out
    assert "also support-bot" in modiste("models", "list").out
    assert modiste("models", "alias", "support-bot", "--remove").code == 0
    assert "taken away" in modiste("models", "aliases", "support-bot").out


def test_an_alias_without_a_model_is_wrong_usage(modiste) -> None:
    assert modiste("models", "alias", "support-bot").code == 2
    assert modiste("models", "alias", "support-bot", "modiste-tiny", "--remove").code == 2
