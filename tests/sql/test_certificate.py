from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509

from modiste import settings as settings_module
from modiste.errors import InvalidInput
from modiste.sql import certificate


def test_a_home_makes_one_certificate_and_keeps_it(tmp_path: Path) -> None:
    settings = settings_module.load({"home": tmp_path}, environment={})
    certificate.context(settings)
    first = (tmp_path / "sql.crt").read_bytes()
    certificate.context(settings)
    assert (tmp_path / "sql.crt").read_bytes() == first
    assert stat.S_IMODE((tmp_path / "sql.key").stat().st_mode) == 0o600
    names = x509.load_pem_x509_certificate(first).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "localhost" in names.value.get_values_for_type(x509.DNSName)


def test_files_that_are_no_certificate_are_refused_by_name(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    flags = {"home": tmp_path, "sql_tls_cert": wrong}
    with pytest.raises(InvalidInput, match="belong together"):
        certificate.context(settings_module.load(flags, environment={}))
    both = settings_module.load({**flags, "sql_tls_key": wrong}, environment={})
    with pytest.raises(InvalidInput, match=r"wrong\.pem"):
        certificate.context(both)
