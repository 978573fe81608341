"""Settings know their source, refuse what they do not know, and print no secret."""

import re
from pathlib import Path

import pytest

from modiste import settings
from modiste.errors import InvalidInput


def test_defaults_listen_on_loopback_only(tmp_path: Path) -> None:
    loaded = settings.load({"home": tmp_path}, environment={})
    assert loaded.host == "127.0.0.1"
    assert loaded.source_of("host") == "default"


def test_a_flag_beats_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    (tmp_path / "modiste.yaml").write_text("port: 1001\nworkers: 3\nlease_s: 5\n")
    environment = {
        "MODISTE_HOME": str(tmp_path),
        "MODISTE_PORT": "1002",
        "MODISTE_WORKERS": "2",
    }
    loaded = settings.load({"port": 1003, "host": None}, environment)
    assert (loaded.port, loaded.source_of("port")) == (1003, "flag")
    assert (loaded.workers, loaded.source_of("workers")) == (2, "environment MODISTE_WORKERS")
    assert loaded.lease_s == 5
    assert loaded.source_of("lease_s") == f"file {tmp_path / 'modiste.yaml'}"


def test_a_misspelt_setting_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"unknown setting prot .* did you mean port\?"):
        settings.load({}, {"MODISTE_HOME": str(tmp_path), "MODISTE_PROT": "1"})


def test_every_wrong_value_is_named_with_its_source_at_once(tmp_path: Path) -> None:
    environment = {
        "MODISTE_HOME": str(tmp_path),
        "MODISTE_PORT": "99999",
        "MODISTE_CURRENCY": "euro",
    }
    with pytest.raises(InvalidInput) as caught:
        settings.load({}, environment)
    assert "port from environment MODISTE_PORT" in caught.value.message
    assert "currency from environment MODISTE_CURRENCY" in caught.value.message


def test_base_aliases_are_read_from_one_environment_variable(tmp_path: Path) -> None:
    environment = {
        "MODISTE_HOME": str(tmp_path),
        "MODISTE_BASE_ALIASES": "open-mistral-7b=modiste-tiny,codestral-latest=modiste-tiny",
    }
    assert settings.load({}, environment).base_aliases == {
        "open-mistral-7b": "modiste-tiny",
        "codestral-latest": "modiste-tiny",
    }


def test_a_malformed_alias_is_refused(tmp_path: Path) -> None:
    environment = {"MODISTE_HOME": str(tmp_path), "MODISTE_BASE_ALIASES": "open-mistral-7b"}
    with pytest.raises(InvalidInput, match="name=base"):
        settings.load({}, environment)


def test_secrets_do_not_show_when_settings_are_printed(tmp_path: Path) -> None:
    environment = {
        "MODISTE_HOME": str(tmp_path),
        "MODISTE_API_KEY": "mod_very_secret",
        "MODISTE_DATABASE_URL": "postgresql://user:hunter2@localhost/modiste",
    }
    loaded = settings.load({}, environment)
    assert "very_secret" not in repr(loaded) + loaded.model_dump_json()
    assert "hunter2" not in repr(loaded) + loaded.model_dump_json()


def test_a_settings_file_that_is_not_yaml_is_named(tmp_path: Path) -> None:
    (tmp_path / "modiste.yaml").write_text("port: [unclosed")
    with pytest.raises(InvalidInput, match=r"modiste\.yaml: not readable as YAML"):
        settings.load({"home": tmp_path}, {})


def test_several_processes_for_one_job_need_an_executor_that_starts_them(tmp_path: Path) -> None:
    environment = {"MODISTE_HOME": str(tmp_path), "MODISTE_TRAIN_PROCESSES": "2"}
    with pytest.raises(InvalidInput, match="2 processes need executor torchrun or ray"):
        settings.load({}, environment)
    loaded = settings.load({}, environment | {"MODISTE_EXECUTOR": "torchrun"})
    assert (loaded.executor, loaded.train_processes) == ("torchrun", 2)
    with pytest.raises(InvalidInput, match="executor from environment MODISTE_EXECUTOR"):
        settings.load({}, environment | {"MODISTE_EXECUTOR": "slurm"})


def test_ports_of_sql_clients_are_switched_off_by_a_word(tmp_path: Path) -> None:
    (tmp_path / "modiste.yaml").write_text("sql_mysql_port: off\n")
    environment = {"MODISTE_SQL_POSTGRES_PORT": "off"}
    loaded = settings.load({"home": tmp_path}, environment=environment)
    assert (loaded.sql_mysql_port, loaded.sql_postgres_port) == (None, None)


MAIL = {"smtp_host": "mail.example.org", "mail_from": "m@example.org", "mail_to": "a@example.org"}
SIGNED = "whsec_" + "a" * 44


def test_whom_to_tell_is_read_and_its_secrets_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "modiste.yaml").write_text(
        "smtp_host: mail.example.org\nsmtp_tls: off\nmail_from: m@example.org\n"
        f"mail_to: [a@example.org, b@example.org, a@example.org]\nwebhook_secret: {SIGNED}\n"
    )
    environment = {"MODISTE_WEBHOOK_URL": "https://hooks.example.org/x?key=quiet"}
    loaded = settings.load({"home": tmp_path}, environment)
    assert [target for _, target in loaded.told] == ["a@example.org", "b@example.org", ""]
    assert loaded.smtp_tls == "off"
    assert len(loaded.webhook_key) == 33
    assert "quiet" not in repr(loaded)
    assert SIGNED not in repr(loaded)
    assert settings.load({"home": tmp_path / "other"}, {}).told == ()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"mail_to": None}, r"mail_to .* smtp_host and mail_to go together"),
        ({"smtp_host": None, "mail_from": None}, "smtp_host and mail_to go together"),
        ({"mail_from": None}, "say which address mail comes from"),
        ({"mail_from": "m@example.org\nBcc: x@example.org"}, "is no mail address such as"),
        ({"mail_to": "a" * 250 + "@b.de"}, "is no mail address such as"),
        ({"mail_to": "a@example.org,Bob <b@example.org>"}, "'Bob <b@example.org>' is no mail"),
        ({"smtp_host": "mail.example.org\r\nRSET"}, "smtp_host from flag"),
        ({"smtp_user": "u"}, "smtp_user and smtp_password go together"),
        ({"smtp_user": "u", "smtp_password": "p", "smtp_tls": "off"}, "not sent in the clear"),
        ({"webhook_url": "https://x.test/"}, "go together; one of them is missing.*makes one"),
        ({"webhook_secret": SIGNED}, "webhook_url and webhook_secret go together"),
        ({"webhook_url": "https://x.test/", "webhook_secret": "whsec_abc"}, "24 to 64 random"),
        ({"webhook_url": "ftp://x.test/", "webhook_secret": SIGNED}, "is no web address"),
        ({"webhook_url": "https://u:pw@x.test/", "webhook_secret": SIGNED}, "holds a user"),
        ({"webhook_url": "https://x.test/#a", "webhook_secret": SIGNED}, "holds a fragment"),
    ],
)
def test_half_of_whom_to_tell_or_a_wrong_address_is_refused(
    tmp_path: Path, changes: dict[str, str | None], told: str
) -> None:
    with pytest.raises(InvalidInput, match=told) as caught:
        settings.load({"home": tmp_path, **MAIL, **changes}, {})
    assert "pw" not in caught.value.message
    assert len(re.findall(r"\w+ from (?:flag|default): ", caught.value.message)) == 1
