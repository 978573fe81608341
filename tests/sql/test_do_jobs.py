"""Jobs by statement: when they are to run."""

from speaking import Speaker


def test_start_end_and_every_are_kept(speaker: Speaker) -> None:
    speaker("CREATE JOB mindsdb.later AS (SELECT 1) START '2099-01-31' END '2099-12-31 10:00:00' "
            "EVERY 3 months")  # fmt: skip
    (job,) = speaker("SELECT * FROM mindsdb.jobs")
    assert (str(job["START_AT"])[:19], str(job["END_AT"])[:19], str(job["NEXT_RUN_AT"])[:19]) == (
        "2099-01-31 00:00:00", "2099-12-31 10:00:00", "2099-01-31 00:00:00",
    )  # fmt: skip
    assert (job["SCHEDULE_STR"], job["QUERY"]) == ("every 3 months", "SELECT 1")
    assert speaker("DROP JOB later; DROP JOB IF EXISTS later") == "DROP JOB"
