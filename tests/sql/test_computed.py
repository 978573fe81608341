"""What only the session knows."""

from modiste.sql.computed import variable


def test_functions_and_variables_of_the_session(speaker) -> None:  # type: ignore[no-untyped-def]
    session = speaker.session
    told = speaker(
        "SELECT version() AS v, user() AS u, @@version_comment AS c, connection_id() AS i"
    )
    assert told == [{"v": "8.0.36-modiste", "u": session.caller.key_id, "c": "Modiste", "i": 1}]
    speaker("SET sql_mode = 'ANSI'")
    assert variable(session, "session.SQL_MODE") == "ANSI"
    session.dialect = "postgres"
    assert speaker("SELECT version() AS v")[0]["v"].startswith("PostgreSQL")
    assert speaker.labels("SELECT current_database()") == ["current_database()"]
