"""When a tenant's credential ends: by its certificate, by the date in the configuration, by what the last run met.

An app cannot ask for the end of its own secret without a further permission, so that date is noted by hand.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sds_daemon.errors import ConfigurationError

if TYPE_CHECKING:
    from sds_daemon.config.settings import TenantSettings

SOON = timedelta(days=30)
NEW_CERTIFICATE = "make a new certificate and upload its public part to the app registration (docs/security.md)"
NEW_SECRET = "make a new secret in the app registration (docs/security.md)"  # noqa: S105 - a sentence

_ENDED = re.compile(r"\(AADSTS(7000222|7000215|700027|1000502)\)")


class Expiry(msgspec.Struct, frozen=True):
    """What is known of the end. `level`: "ok", "note" (not known), "warning" (within SOON) or "error" (over)."""

    level: str
    message: str
    remedy: str = ""
    ends: datetime | None = None


def expiry(tenant: TenantSettings, now: datetime) -> Expiry:
    """The end of a tenant's credential. Faults of the certificate's file are an `error`, not raised."""
    if tenant.certificate is None:
        return _secret(tenant, now)
    try:
        ends = certificate_end(tenant.certificate)
    except ConfigurationError as error:
        return Expiry("error", error.message, error.remedy or "")
    return _judged("the certificate", ends, now, NEW_CERTIFICATE)


def certificate_end(path: Path) -> datetime:
    """The earliest end of the certificates in a PEM file. Raises ConfigurationError."""
    from cryptography import x509

    try:
        return min(found.not_valid_after_utc for found in x509.load_pem_x509_certificates(path.read_bytes()))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", remedy="correct its rights") from None
    except ValueError:
        raise ConfigurationError(
            f"{path} holds no PEM certificate", remedy="put the private key and the certificate into one PEM file"
        ) from None


def ended(failure: str, tenant: str) -> Expiry | None:
    """What a run's failure says of a credential that is no longer accepted; None where it says nothing of one."""
    found = _ENDED.search(failure)
    if found is None:
        return None
    remedy = NEW_CERTIFICATE if found[1] in ("700027", "1000502") else NEW_SECRET
    what = "has expired" if found[1] == "7000222" else "was not accepted"
    return Expiry("error", f"tenant {tenant}: the credential {what} when it was last used (AADSTS{found[1]})", remedy)


def _secret(tenant: TenantSettings, now: datetime) -> Expiry:
    day = tenant.client_secret_expires
    if day is None:
        return Expiry(
            "note",
            "when the client secret expires cannot be read by the app",
            "note the date shown in the app registration as client_secret_expires, or use a certificate",
        )
    return _judged("the client secret", datetime.combine(day, time(), UTC), now, NEW_SECRET)


def _judged(what: str, ends: datetime, now: datetime, remedy: str) -> Expiry:
    left = ends - now
    if left <= timedelta(0):
        return Expiry("error", f"{what} expired on {ends:%Y-%m-%d}", remedy, ends)
    if left < SOON:
        return Expiry("warning", f"{what} expires on {ends:%Y-%m-%d}, in {left.days} days", remedy, ends)
    return Expiry("ok", f"{what} expires on {ends:%Y-%m-%d}", "", ends)
