"""The tables that say what is there."""


def test_models_have_nineteen_columns_and_versions_sixteen(speaker) -> None:  # type: ignore[no-untyped-def]
    assert len(speaker.labels("SELECT * FROM models")) == 19
    assert len(speaker.labels("SELECT * FROM mindsdb.models_versions")) == 16
    for condition in ("active = 1", "ACTIVE = true", "Active = '1'"):
        told = speaker(f"SELECT NAME, VERSION FROM information_schema.models WHERE {condition}")
        assert told == [{"NAME": "m", "VERSION": 1}]


def test_nothing_shows_a_secret(speaker) -> None:  # type: ignore[no-untyped-def]
    speaker("CREATE ML_ENGINE e FROM anyscale_endpoints USING api_key = 'sk-hidden', region = 'x'")
    speaker("CREATE MODEL s PREDICT a USING engine='e', prompt='p', e_api_key='sk-hidden', "
            "model_name='modiste-tiny'")  # fmt: skip
    shown = [
        speaker(f"SELECT * FROM information_schema.{table}")
        for table in ("models", "models_versions", "ml_engines", "databases", "handlers", "views")
    ]
    assert "sk-hidden" not in str(shown)
    assert "region" in str(shown)
    speaker("DROP MODEL s; DROP ML_ENGINE e")


def test_databases_say_what_they_are(speaker) -> None:  # type: ignore[no-untyped-def]
    told = speaker("SELECT name, type, engine FROM information_schema.databases WHERE name IN "
                   "('mindsdb', 'shop') ORDER BY name")  # fmt: skip
    assert told == [
        {"NAME": "mindsdb", "TYPE": "project", "ENGINE": "modiste"},
        {"NAME": "shop", "TYPE": "data", "ENGINE": "sqlite"},
    ] or [tuple(row.values()) for row in told] == [
        ("mindsdb", "project", "modiste"), ("shop", "data", "sqlite"),
    ]  # fmt: skip
