"""The token authority: client credentials by secret or certificate, and the access tokens Graph accepts.

Access tokens and assertions are measured with the real clock, since clients do so; jumps of the sandbox clock age
access tokens too.
"""

from __future__ import annotations

import base64
import hmac
import time
import uuid
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sds_daemon.sandbox.asgi import Request, Response, json_response
from sds_daemon.sandbox.entra.errors import unauthorized
from sds_daemon.sandbox.entra.tenant import Tenant
from sds_daemon.sandbox.faults import FaultPlan
from sds_daemon.sandbox.injury import injured
from sds_daemon.sandbox.journal import Journal

GRAPH = "https://graph.microsoft.com"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_SKEW = 300.0


class TokenError(Exception):
    """A refusal of the token endpoint: HTTP status, OAuth error, AADSTS number and sentence."""

    def __init__(self, status: int, error: str, number: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.error = error
        self.number = number
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate registered on the application, with both thumbprints as assertions name them."""

    key: rsa.RSAPublicKey
    sha1: str
    sha256: str
    expires: float

    @classmethod
    def from_pem(cls, pem: str) -> Certificate:
        """Read a PEM (a key in the same text is ignored); ValueError unless it holds an RSA certificate."""
        start = pem.index("-----BEGIN CERTIFICATE-----")
        certificate = x509.load_pem_x509_certificate(pem[start:].encode())
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise ValueError("the application's certificate must have an RSA key")
        sha1 = b64(certificate.fingerprint(hashes.SHA1()))  # noqa: S303 - the x5t header is SHA-1 by definition
        sha256 = b64(certificate.fingerprint(hashes.SHA256()))
        return cls(key, sha1, sha256, certificate.not_valid_after_utc.timestamp())


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Base64url with or without padding (azure-identity pads, against the JWT standard); ValueError for other text."""
    bare = text.rstrip("=")
    return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))


@cache
def _signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Tokens:
    """Issues and checks access tokens, signed with a key that this process made for itself."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._known: dict[str, dict[str, Any]] = {}
        self.issued: list[str] = []
        self._kid = "sandbox-signing-key"
        self._generation = 0

    def issue(self, client_id: str, audience: str) -> str:
        """A new access token with the roles granted at this moment."""
        options, now = self._tenant.options, int(time.time())
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{options.tenant_id}/",
            "iat": now,
            "nbf": now,
            "exp": now + options.token_lifetime,
            "appid": client_id,
            "app_displayname": "sandbox",
            "appidacr": "1",
            "idtyp": "app",
            "oid": str(uuid.uuid5(uuid.NAMESPACE_URL, client_id)),
            "roles": list(options.roles),
            "tid": options.tenant_id,
            "uti": b64(uuid.uuid4().bytes),
            "ver": "1.0",
            "xms_generation": self._generation,
            "xms_advanced": self._tenant.clock.advanced,
        }
        header = {"typ": "JWT", "alg": "RS256", "kid": self._kid, "x5t": self._kid}
        signed = f"{b64(msgspec.json.encode(header))}.{b64(msgspec.json.encode(claims))}"
        signature = _signing_key().sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        self.issued.append(f"{signed}.{b64(signature)}")
        return self.issued[-1]

    def expire(self) -> None:
        """Make every token issued so far expired."""
        self._generation += 1

    def roles(self, authorization: str | None) -> frozenset[str]:
        """The application permissions in a valid `Authorization` header; raises Graph's 401 otherwise."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise unauthorized("Access token is empty.")
        claims = self._claims(token.strip())
        if claims["aud"] not in (GRAPH, self._tenant.graph_url, "00000003-0000-0000-c000-000000000000"):
            raise unauthorized("Access token validation failure. Invalid audience.")
        aged = self._tenant.clock.advanced - claims["xms_advanced"]
        if claims["xms_generation"] != self._generation or time.time() + aged >= claims["exp"]:
            raise unauthorized("Lifetime validation failed, the token is expired.")
        found: frozenset[str] = claims["granted"]
        return found

    def _claims(self, token: str) -> dict[str, Any]:
        known = self._known.get(token)
        if known is not None:
            return known
        try:
            header, payload, signature = token.split(".")
            msgspec.json.decode(unb64(header))
            claims: dict[str, Any] = msgspec.json.decode(unb64(payload))
            public = _signing_key().public_key()
            public.verify(unb64(signature), f"{header}.{payload}".encode(), padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            raise unauthorized("Access token validation failure. Invalid signature.") from None
        except (ValueError, TypeError):
            raise unauthorized("CompactToken parsing failed with error code: 80049217") from None
        claims["granted"] = frozenset(claims["roles"])
        if len(self._known) > 1000:
            self._known.clear()
        self._known[token] = claims
        return claims


class Authority:
    """The HTTP side: `/{tenant}/oauth2/v2.0/token` and `/{tenant}/v2.0/.well-known/openid-configuration`."""

    def __init__(self, tenant: Tenant, tokens: Tokens, faults: FaultPlan, journal: Journal) -> None:
        self._tenant = tenant
        self._tokens = tokens
        self._faults = faults
        self._journal = journal
        self._certificates: dict[str, Certificate] = {}

    async def handle(self, request: Request) -> Response:
        """Answer one request, faults and log included."""
        fault = self._faults.pick("authority", request.method, request.path)
        response = await injured(fault, self._tenant.clock, lambda: self._answer(request))
        self._journal.record(
            "authority", request.method, request.path, request.query, response.status, headers=request.headers,
            body=request.body, form=True, fault=fault.kind if fault else None, http=request.http_version,
        )  # fmt: skip
        return response

    async def _answer(self, request: Request) -> Response:
        parts = request.path.strip("/").split("/")
        tail = "/".join(parts[1:])
        try:
            if tail == "oauth2/v2.0/token" and request.method == "POST":
                self._check_tenant(parts[0])
                return self._token(request.form())
            if tail == "v2.0/.well-known/openid-configuration" and request.method == "GET":
                self._check_tenant(parts[0])
                return json_response(self._metadata(parts[0]))
        except TokenError as error:
            return self._refusal(error)
        return Response(404, {"content-type": "text/html"}, b"<html><body>Not found</body></html>")

    def _refusal(self, error: TokenError) -> Response:
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        stamp = self._tenant.clock.now().strftime("%Y-%m-%d %H:%M:%SZ")
        text = (
            f"AADSTS{error.number}: {error.sentence} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"
        )
        body = {
            "error": error.error,
            "error_description": text,
            "error_codes": [error.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"{self._tenant.authority_url}/error?code={error.number}",
        }
        return json_response(body, error.status)

    def _check_tenant(self, name: str) -> None:
        options = self._tenant.options
        known = {options.tenant_id.lower(), *(domain.lower() for domain in options.domains)}
        if name.lower() not in known:
            raise TokenError(
                400, "invalid_request", 90002,
                f"Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into "
                "the correct cloud. Check with your subscription administrator, this may happen if there are no active "
                "subscriptions for the tenant.",
            )  # fmt: skip

    def _metadata(self, name: str) -> dict[str, Any]:
        root = f"{self._tenant.authority_url}/{name}"
        return {
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "issuer": f"{self._tenant.authority_url}/{self._tenant.options.tenant_id}/v2.0",
            "jwks_uri": f"{root}/discovery/v2.0/keys",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "tenant_region_scope": "NA",
        }

    def _token(self, form: dict[str, str]) -> Response:
        for name in ("grant_type", "client_id"):
            if not form.get(name):
                raise TokenError(
                    400, "invalid_request", 900144,
                    f"The request body must contain the following parameter: '{name}'.",
                )  # fmt: skip
        if form["grant_type"] != "client_credentials":
            raise TokenError(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type "
                             f"'{form['grant_type']}'.")  # fmt: skip
        self._check_client(form)
        audience = self._audience(form.get("scope", ""))
        options = self._tenant.options
        return json_response(
            {
                "token_type": "Bearer",
                "expires_in": options.token_lifetime,
                "ext_expires_in": options.token_lifetime,
                "access_token": self._tokens.issue(options.client_id, audience),
            },
            headers={"cache-control": "no-store, no-cache", "pragma": "no-cache"},
        )

    def _audience(self, scope: str) -> str:
        resource, found, rest = scope.strip().partition("/.default")
        if not found or rest:
            raise TokenError(
                400, "invalid_scope", 1002012,
                f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value "
                "with /.default suffixed to the resource identifier (application ID URI).",
            )  # fmt: skip
        if resource.rstrip("/") not in (GRAPH, self._tenant.graph_url):
            raise TokenError(
                400, "invalid_resource", 500011,
                f"The resource principal named {resource} was not found in the tenant named "
                f"{self._tenant.options.tenant_name}. This can happen if the application has not been installed by the "
                "administrator of the tenant or consented to by any user in the tenant. You might have sent your "
                "authentication request to the wrong tenant.",
            )  # fmt: skip
        return resource.rstrip("/")

    def _check_client(self, form: dict[str, str]) -> None:
        options = self._tenant.options
        client_id = form["client_id"]
        if client_id.lower() != options.client_id.lower():
            raise TokenError(
                400, "unauthorized_client", 700016,
                f"Application with identifier '{client_id}' was not found in the directory '{options.tenant_name}'. "
                "This can happen if the application has not been installed by the administrator of the tenant or "
                "consented to by any user in the tenant. You may have sent your authentication request to the wrong "
                "tenant.",
            )  # fmt: skip
        if form.get("client_assertion"):
            if form.get("client_assertion_type") != _ASSERTION_TYPE:
                raise TokenError(400, "invalid_request", 90023, "The provided client_assertion_type is not supported.")
            self._check_assertion(form["client_assertion"])
        elif form.get("client_secret"):
            self._check_secret(form["client_secret"])
        else:
            raise TokenError(
                401, "invalid_client", 7000216,
                "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
            )  # fmt: skip

    def _check_secret(self, secret: str) -> None:
        options = self._tenant.options
        if any(_same(secret, known) for known in options.expired_secrets):
            raise TokenError(
                401, "invalid_client", 7000222,
                f"The provided client secret keys for app '{options.client_id}' are expired. Visit the Azure portal "
                "to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate "
                "credentials for added security: https://aka.ms/certCreds.",
            )  # fmt: skip
        known = [secret_ for secret_ in (options.client_secret, *options.extra_secrets) if secret_]
        if not any(_same(secret, good) for good in known):
            raise TokenError(
                401, "invalid_client", 7000215,
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret "
                f"value, not the client secret ID, for a secret added to app '{options.client_id}'.",
            )  # fmt: skip

    def _certificate(self, header: dict[str, Any]) -> Certificate:
        for pem in self._tenant.options.certificates:
            known = self._certificates.get(pem)
            if known is None:
                known = self._certificates[pem] = Certificate.from_pem(pem)
            if known.sha1 == _thumbprint(header, "x5t") or known.sha256 == _thumbprint(header, "x5t#S256"):
                return known
        raise _bad_assertion("The certificate with identifier used to sign the client assertion is not registered on "
                             "application.")  # fmt: skip

    def _check_assertion(self, assertion: str) -> None:
        try:
            header_text, claims_text, signature_text = assertion.split(".")
            header = msgspec.json.decode(unb64(header_text), type=dict[str, Any])
            claims = msgspec.json.decode(unb64(claims_text), type=dict[str, Any])
            signature = unb64(signature_text)
        except (ValueError, msgspec.MsgspecError):
            raise _bad_assertion("Client assertion is malformed.") from None
        certificate = self._certificate(header)
        _check_signature(certificate, header, f"{header_text}.{claims_text}".encode(), signature)
        if certificate.expires < time.time():
            raise _bad_assertion("The certificate used to sign the client assertion is expired on application.")
        self._check_claims(claims)

    def _check_claims(self, claims: dict[str, Any]) -> None:
        options = self._tenant.options
        if claims.get("iss") != options.client_id or claims.get("sub") != options.client_id:
            raise TokenError(
                401, "invalid_client", 700021,
                "Client assertion application identifier doesn't match 'client_id' parameter.",
            )  # fmt: skip
        tenants = (options.tenant_id, *options.domains)
        root = self._tenant.authority_url
        audiences = {f"{root}/{name}{tail}" for name in tenants for tail in ("/oauth2/v2.0/token", "/v2.0")}
        if claims.get("aud") not in audiences:
            raise TokenError(
                401, "invalid_client", 700023,
                "Client assertion audience claim does not match Realm issuer.",
            )  # fmt: skip
        now, expires, starts = time.time(), claims.get("exp"), claims.get("nbf", 0)
        if not isinstance(expires, int | float) or not isinstance(starts, int | float):
            raise _bad_assertion("Client assertion must have an expiry time.")
        if not starts - _SKEW <= now <= expires + _SKEW:
            raise TokenError(
                401, "invalid_client", 700024, "Client assertion is not within its valid time range."
            )  # fmt: skip
        if not isinstance(claims.get("jti"), str) or not claims["jti"]:
            raise _bad_assertion("Client assertion must have a 'jti' claim.")


def _thumbprint(header: dict[str, Any], name: str) -> str:
    return str(header.get(name, "")).rstrip("=")


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())


def _bad_assertion(sentence: str) -> TokenError:
    return TokenError(401, "invalid_client", 700027, sentence)


def _check_signature(certificate: Certificate, header: dict[str, Any], signed: bytes, signature: bytes) -> None:
    algorithm = header.get("alg")
    scheme: padding.AsymmetricPadding
    if algorithm == "RS256":
        scheme = padding.PKCS1v15()
    elif algorithm == "PS256":
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
    else:
        raise _bad_assertion(f"Client assertion uses the unsupported algorithm '{algorithm}'.")
    try:
        certificate.key.verify(signature, signed, scheme, hashes.SHA256())
    except InvalidSignature:
        raise _bad_assertion("Client assertion failed signature validation.") from None
