"""Keys through the command line."""


def test_a_key_is_made_works_and_stops_working_when_revoked(modiste, monkeypatch) -> None:
    made = modiste("keys", "create", "ci", "--scope", "data", "--scope", "infer", "--json").json
    assert sorted(made["scopes"]) == ["data", "infer"]

    monkeypatch.setenv("MODISTE_API_KEY", made["secret"])
    assert modiste("files", "list").code == 0
    denied = modiste("keys", "list")
    assert denied.code == 1
    assert "admin" in denied.err

    monkeypatch.delenv("MODISTE_API_KEY")
    assert modiste("keys", "revoke", made["id"]).code == 0
    monkeypatch.setenv("MODISTE_API_KEY", made["secret"])
    refused = modiste("files", "list")
    assert refused.code == 1
    assert "MODISTE_API_KEY" in refused.err


def test_secrets_are_shown_once_and_never_listed(modiste) -> None:
    created = modiste("keys", "create", "ci")
    secret = next(line.split()[1] for line in created.out.splitlines() if "secret" in line)
    assert secret not in modiste("keys", "list").out
    assert secret not in modiste("keys", "list", "--json").out


def test_the_last_admin_key_cannot_be_revoked(modiste) -> None:
    key = modiste("keys", "list", "--json").json["data"][0]
    result = modiste("keys", "revoke", key["id"])
    assert result.code == 1
    assert "last admin key" in result.err


def test_an_unknown_scope_is_wrong_usage(modiste) -> None:
    assert modiste("keys", "create", "x", "--scope", "root").code == 2
