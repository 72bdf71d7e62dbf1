"""A credential that has ended or will soon is told from one that is sound, with what to do about it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sds_daemon.config.load import settings_of
from sds_daemon.config.secrets import Secret
from sds_daemon.config.settings import TenantSettings
from sds_daemon.errors import ConfigurationError, TargetError, TargetRefused
from sds_daemon.targets.entra.auth import explain_refusal
from sds_daemon.targets.entra.expiry import ended, expiry

NOW = datetime(2026, 9, 1, 12, 0, tzinfo=UTC)


def tenant(**more: object) -> TenantSettings:
    settings = {"name": "contoso", "tenant_id": "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1", "client_id": "app", **more}
    return TenantSettings(**settings)  # type: ignore[arg-type]


def certificate(path: Path, *ends: timedelta) -> Path:
    """A PEM with a key and a certificate for each end, counted from NOW."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sds-daemon")])
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for end in ends:
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        made = made.serial_number(1).not_valid_before(NOW - timedelta(days=400)).not_valid_after(NOW + end)
        pem += made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    path.write_bytes(pem)
    return path


@pytest.mark.parametrize(
    ("left", "level", "says"),
    [
        (timedelta(days=31), "ok", "expires on 2026-10-02"),
        (timedelta(days=29), "warning", "expires on 2026-09-30, in 29 days"),
        (timedelta(hours=1), "warning", "in 0 days"),
        (timedelta(0), "error", "expired on 2026-09-01"),
        (timedelta(days=-3), "error", "expired on 2026-08-29"),
    ],
)
def test_a_certificate_tells_its_end(tmp_path: Path, left: timedelta, level: str, says: str) -> None:
    known = expiry(tenant(certificate=certificate(tmp_path / "app.pem", left)), NOW)
    assert (known.level, bool(known.remedy)) == (level, level != "ok")
    assert says in known.message


def test_of_several_certificates_the_first_to_end_counts(tmp_path: Path) -> None:
    path = certificate(tmp_path / "app.pem", timedelta(days=300), timedelta(days=3), timedelta(days=100))
    assert expiry(tenant(certificate=path), NOW).level == "warning"


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_certificate_file_that_cannot_be_read_is_an_error_and_no_exception(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "app.pem"
    if content is not None:
        path.write_bytes(content)
    known = expiry(tenant(certificate=path), NOW)
    assert known.level == "error"
    assert "app.pem" in known.message


@pytest.mark.parametrize(
    ("day", "level"),
    [(None, "note"), (date(2027, 9, 1), "ok"), (date(2026, 9, 20), "warning"), (date(2026, 9, 1), "error")],
)
def test_the_end_of_a_secret_is_the_date_that_was_noted(day: date | None, level: str) -> None:
    known = expiry(tenant(client_secret=Secret("s"), client_secret_expires=day), NOW)
    assert known.level == level


def tables(expires: object) -> dict[str, object]:
    contoso = {
        "tenant_id": "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1",
        "client_id": "app",
        "client_secret": "env:S",
        "client_secret_expires": expires,
    }
    return {"tenants": {"contoso": contoso}}


def test_the_date_is_one_of_toml_or_of_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert settings_of(tables(date(2027, 8, 31)), path, {}).tenants["contoso"].client_secret_expires == date(
        2027, 8, 31
    )
    override = {"SDS_DAEMON_TENANTS__CONTOSO__CLIENT_SECRET_EXPIRES": "2028-01-02"}
    settings = settings_of(tables(date(2027, 8, 31)), path, override)
    assert settings.tenants["contoso"].client_secret_expires == date(2028, 1, 2)
    for wrong in ("2027-08-31", 2027, "soon", datetime(2027, 8, 31, 12, 0, tzinfo=UTC)):
        with pytest.raises(ConfigurationError, match="is not a date"):
            settings_of(tables(wrong), path, {})


@pytest.mark.parametrize(
    ("code", "says"),
    [("7000222", "expired"), ("7000215", "not accepted"), ("700027", "not accepted"), ("1000502", "not accepted")],
)
def test_a_run_that_met_the_end_is_remembered(code: str, says: str) -> None:
    failure = explain_refusal(f"Azure Error: invalid_client: AADSTS{code}: The provided ...", tenant())
    known = ended(str(failure), "contoso")
    assert known is not None
    assert says in known.message
    assert code in known.message
    assert known.remedy


@pytest.mark.parametrize("failure", ["", "no answer from https://graph.microsoft.com", "tenant x: ... (AADSTS53003)"])
def test_other_failures_say_nothing_of_the_credential(failure: str) -> None:
    assert ended(failure, "contoso") is None


def explained(code: str) -> TargetError:
    return explain_refusal(f"AADSTS{code}: secret-in-the-answer", tenant())


EXPLAINED = """
7000215 7000222 700027 1000502 50012 700016 700024 90002 900021 900023 65001 650051 650052 53003 530032 50196
7000112 7000218 7000229 700025 500011 500014 900382 900439 1002012
"""


@pytest.mark.parametrize("code", EXPLAINED.split())
def test_each_refusal_of_the_authority_is_explained_and_its_answer_never_quoted(code: str) -> None:
    error = explained(code)
    assert isinstance(error, TargetRefused)
    assert f"AADSTS{code}" in error.message
    assert error.remedy
    assert "look the code up" not in str(error)
    assert "secret-in-the-answer" not in str(error)


def test_an_unknown_refusal_names_its_code() -> None:
    error = explained("987654")
    assert "AADSTS987654" in str(error)
    assert "secret-in-the-answer" not in str(error)
