"""Tokens for Graph, by azure-identity; refusals of the authority put into plain words."""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from sds_daemon.errors import ConfigurationError, TargetError, TargetRefused, TargetUnreachable
from sds_daemon.redaction import hide
from sds_daemon.targets.entra.clouds import Cloud

if TYPE_CHECKING:
    from sds_daemon.config.settings import TenantSettings

MARGIN = 300.0
"""Seconds before its end at which a token is replaced; a short-lived one at half its life."""


class Tokens(Protocol):
    """Where the transport gets its bearer tokens."""

    async def token(self) -> str:
        """A token that is valid now. Raises TargetRefused or TargetUnreachable."""

    async def renew(self, refused: str) -> None:
        """Drop `refused`, so that the next token is a new one."""

    async def close(self) -> None:
        """Release connections."""


class EntraTokens:
    """Client-credentials tokens of one app registration, kept for their life."""

    def __init__(self, settings: TenantSettings, cloud: Cloud, *, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._cloud = cloud
        self._now = now
        self._credential: Any = None
        self._token = ""
        self._replace_at = 0.0
        self._lock = asyncio.Lock()

    async def token(self) -> str:
        """A valid token.

        Raises ConfigurationError (secret unreadable), TargetRefused (the AADSTS code explained), TargetUnreachable.
        """
        if self._token and self._now() < self._replace_at:
            return self._token
        async with self._lock:
            if not self._token or self._now() >= self._replace_at:
                await self._fetch()
            return self._token

    async def renew(self, refused: str) -> None:
        """Forget a token Graph refused. Does nothing if another task has renewed it already."""
        async with self._lock:
            if refused == self._token:
                self._token = ""
                await self._drop_credential()

    async def close(self) -> None:
        """Close the connection to the authority."""
        self._token = ""
        await self._drop_credential()

    async def _fetch(self) -> None:
        from azure.core.exceptions import AzureError, ClientAuthenticationError

        if self._credential is None:
            self._credential = make_credential(self._settings, self._cloud)
        try:
            got = await self._credential.get_token(self._cloud.scope)
        except ClientAuthenticationError as error:
            raise explain_refusal(str(error.message), self._settings) from None
        except (AzureError, ValueError) as error:
            raise _unreachable(error, self._cloud) from None
        life = got.expires_on - self._now()
        self._token = hide(got.token)
        self._replace_at = self._now() + max(life - MARGIN, life / 2)

    async def _drop_credential(self) -> None:
        credential, self._credential = self._credential, None
        if credential is not None:
            await credential.close()


def make_credential(settings: TenantSettings, cloud: Cloud) -> Any:
    """An azure-identity (aio) credential: a certificate (PEM: key and certificate) or a client secret.

    Raises ConfigurationError for a certificate that cannot be used.
    """
    from azure.identity.aio import CertificateCredential, ClientSecretCredential

    from sds_daemon.targets.entra.authority import AuthorityTransport

    # Its warnings quote the authority's whole answer; ours say what it means.
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    options: dict[str, Any] = {
        "authority": cloud.authority,
        "disable_instance_discovery": cloud.custom,
        "retry_total": 1,
        "retry_backoff_factor": 0.4,
        "transport": AuthorityTransport(settings, cloud),
    }
    if settings.certificate is not None:
        data = _read_certificate(settings.certificate)
        try:
            return CertificateCredential(settings.tenant_id, settings.client_id, certificate_data=data, **options)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                f"{settings.certificate} cannot be used as a certificate: {error}",
                remedy="the file must hold the private key (without a passphrase) and the certificate, both as PEM",
            ) from None
    if settings.client_secret is None:
        raise ConfigurationError(
            f"tenant {settings.name} has neither client_secret nor certificate", remedy="set one of them in config.toml"
        )
    return ClientSecretCredential(settings.tenant_id, settings.client_id, settings.client_secret.reveal(), **options)


def _read_certificate(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}",
            remedy="create the file, readable by the user that runs the daemon",
        ) from None


_AADSTS = re.compile(r"AADSTS(\d+)")
_NEW_CERTIFICATE = "make a new certificate and upload its public part to the app registration; check the clock as well"
_EXPLAINED: dict[str, tuple[str, str]] = {
    "7000215": ("the client secret is wrong", "copy the secret's value (not its id) from the app registration"),
    "7000222": ("the client secret has expired", "make a new secret in the app registration, or use a certificate"),
    "700027": (
        "the certificate is not known to the app registration, or has expired",
        "upload the certificate's public part to the app registration",
    ),
    "700016": (
        "the app registration does not exist in this tenant",
        "check client_id and tenant_id, and that the app was made in or consented to by this tenant",
    ),
    "700024": ("the certificate assertion is outside its time", "set this machine's clock right"),
    "90002": ("the tenant does not exist in this cloud", "check tenant_id and cloud"),
    "900023": ("tenant_id is not a tenant", "check tenant_id"),
    "65001": ("an administrator has not consented to the app", "grant admin consent in the app registration"),
    "650051": ("an administrator has not consented to the app", "grant admin consent in the app registration"),
    "650052": ("the tenant has no subscription for this service", "grant admin consent in the app registration"),
    "53003": ("a conditional access policy blocks the app", "exclude the app's workload identity from the policy"),
    "50196": ("the authority stopped a request loop", "wait some minutes; if it returns, report it"),
    "7000112": ("the app is disabled", "enable it under enterprise applications"),
    "1000502": ("the certificate has expired, or is not valid yet", _NEW_CERTIFICATE),
    "50012": ("the certificate's signature was not accepted", _NEW_CERTIFICATE),
    "7000218": ("no secret or certificate reached the authority", "check client_secret or certificate"),
    "700025": ("the app is registered as a public client", "register a confidential one, with a secret or certificate"),
    "7000229": ("the app has no service principal in this tenant", "grant admin consent in the app registration"),
    "500011": ("Microsoft Graph is not known to this tenant in this cloud", "check tenant_id and cloud"),
    "500014": ("Microsoft Graph is disabled in this tenant", "enable it under enterprise applications"),
    "900021": ("tenant_id is not a tenant", "check tenant_id"),
    "900382": ("the app registration belongs to another cloud", "check cloud; register the app in the tenant's cloud"),
    "900439": ("the app is of a US government cloud", 'set cloud = "gcc-high" or "dod"'),
    "530032": ("a security policy of the tenant blocks the app", "exclude the app's workload identity from the policy"),
    "1002012": ("the scope of the token request is not accepted", "check cloud and graph_url"),
}


_TEMPORARY = frozenset({"90033", "90024", "90055"})
_OAUTH_REFUSALS = ("invalid_client", "unauthorized_client", "invalid_request", "invalid_scope", "access_denied")


def explain_refusal(message: str, settings: TenantSettings) -> TargetError:
    """Turn the authority's answer into an error that names the AADSTS code and the remedy; never quotes the answer.

    TargetUnreachable where the answer is no refusal: maintenance pages, overload, temporary codes.
    """
    found = _AADSTS.search(message)
    code = found[1] if found else ""
    if code in _TEMPORARY or not (code or any(name in message for name in _OAUTH_REFUSALS)):
        return TargetUnreachable(
            f"tenant {settings.name}: the token authority gave no usable answer",
            remedy="it is tried again later; check Microsoft's service health and any proxy",
        )
    what, remedy = _EXPLAINED.get(code, ("the token authority refused the app", "look the code up at Microsoft"))
    label = f" (AADSTS{code})" if code else ""
    return TargetRefused(f"tenant {settings.name}: {what}{label}", remedy=remedy)


def _unreachable(error: Exception, cloud: Cloud) -> TargetError:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return TargetUnreachable(
            f"the certificate of {cloud.authority} cannot be verified",
            remedy="set ca_file to the authority that signed it, or check for a proxy that opens TLS",
        )
    return TargetUnreachable(
        f"no token from {cloud.authority} ({type(error).__name__})",
        remedy="check name resolution, the network and the proxy",
    )


class _Claims(msgspec.Struct):
    roles: tuple[str, ...] = ()
    tid: str = ""
    appid: str = ""


def token_roles(token: str) -> frozenset[str]:
    """The application permissions in a token's `roles` claim. Not verified: for our own information only.

    A token that is no JWT has no roles.
    """
    try:
        payload = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=_Claims)
    except (IndexError, ValueError):
        return frozenset()
    return frozenset(claims.roles)
