"""The doctor looks, changes nothing, and says what to do."""

from pathlib import Path

import pytest

from modiste.cli import doctor


def findings(result) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in result.json}


def test_a_whole_install_is_ok_and_the_home_is_not_made(modiste, home: Path) -> None:
    result = modiste("doctor", "--json")
    found = findings(result)
    assert result.code == 0, result.out
    assert found["torch"]["state"] == "ok"
    assert found["server"]["to_do"] == "modiste up"
    assert not home.exists()


def test_a_missing_engine_fails_with_the_command_that_installs_it(modiste, monkeypatch) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda p: None if p == "torch" else version(p))
    result = modiste("doctor")
    assert result.code == 1
    assert "pip install 'modiste[local]'" in result.out


def test_an_engine_is_not_needed_where_the_server_is_elsewhere(modiste, monkeypatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda package: None)
    monkeypatch.setenv("MODISTE_URL", "http://127.0.0.1:9")
    found = findings(modiste("doctor", "--json"))
    assert found["torch"]["state"] == "note"
    assert found["server"]["state"] == "missing"


def test_too_little_disk_is_missing_and_little_disk_a_note() -> None:
    few, some, many = (
        doctor._enough("disk", n, 100, 1000, "free", "free some").state for n in (50, 500, 5000)
    )
    assert (few, some, many) == ("missing", "note", "ok")


def test_an_admin_key_that_others_can_read_is_a_fault(modiste, home: Path) -> None:
    home.mkdir()
    (home / "admin.key").write_text("mod_x")
    (home / "admin.key").chmod(0o644)
    found = findings(modiste("doctor", "--json"))
    assert found["admin key"]["state"] == "missing"
    assert found["admin key"]["to_do"].startswith("chmod 600")


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="Linux tells flags there")
def test_the_processor_is_described() -> None:
    assert doctor._cpu_flags() == [f for f in doctor.CPU_FLAGS if f in doctor._cpu_flags()]
