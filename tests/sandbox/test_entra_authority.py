"""Tokens: secrets and certificates checked for real, refusals by their AADSTS numbers, roles per call."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from entra_rig import Rig, entra

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Signer:
    """A certificate with its key, making client assertions."""

    def __init__(self, days: int = 30) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sds")])
        now = dt.datetime.now(dt.UTC)
        self.certificate = (
            x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(self.key.public_key())
            .serial_number(1).not_valid_before(now - dt.timedelta(days=60))
            .not_valid_after(now + dt.timedelta(days=days)).sign(self.key, hashes.SHA256())
        )  # fmt: skip
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_and_certificate(self) -> str:
        key = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        return key + self.pem

    def assertion(self, claims: dict[str, Any], algorithm: str = "RS256") -> str:
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        header: dict[str, str] = {"alg": algorithm, "typ": "JWT"}
        if algorithm == "RS256":
            header["x5t"] = b64(hashlib.sha1(der).digest())
        else:
            header["x5t#S256"] = b64(hashlib.sha256(der).digest())
        signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
        scheme = padding.PKCS1v15() if algorithm == "RS256" else pss
        return f"{signed}.{b64(self.key.sign(signed.encode(), scheme, hashes.SHA256()))}"


def claims(rig: Rig, **changes: Any) -> dict[str, Any]:
    options = rig.sandbox.options
    now = int(time.time())
    return {
        "aud": f"{rig.authority}/{options.tenant_id}/oauth2/v2.0/token", "iss": options.client_id,
        "sub": options.client_id, "jti": str(uuid.uuid4()), "nbf": now, "exp": now + 300, **changes,
    }  # fmt: skip


async def test_secret_gives_a_token_with_roles(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        answer = (await rig.fetch_token()).json()
        assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 3599)
        payload = answer["access_token"].split(".")[1]
        read = json.loads(base64.urlsafe_b64decode(payload + "=="))
        assert read["aud"] == rig.graph
        assert read["tid"] == rig.sandbox.options.tenant_id
        assert "EduRoster.ReadWrite.All" in read["roles"]
        metadata = (await rig.http.get(f"{rig.authority}/contoso.edu/v2.0/.well-known/openid-configuration")).json()
        assert metadata["token_endpoint"] == f"{rig.authority}/contoso.edu/oauth2/v2.0/token"


@pytest.mark.parametrize(
    ("changes", "status", "number"),
    [
        ({"client_secret": "wrong"}, 401, 7000215),
        ({"client_secret": "old"}, 401, 7000222),
        ({"client_secret": ""}, 401, 7000216),
        ({"client_id": str(uuid.uuid4())}, 400, 700016),
        ({"tenant": "fabrikam.com"}, 400, 90002),
        ({"scope": "https://vault.azure.net/.default"}, 400, 500011),
        ({"scope": "User.Read.All"}, 400, 1002012),
        ({"grant_type": "password"}, 400, 70003),
        ({"client_id": ""}, 400, 900144),
    ],
)
async def test_refusals_carry_their_number(tmp_path: Path, changes: dict[str, str], status: int, number: int) -> None:
    async with entra(tmp_path, expired_secrets=("old",)) as rig:
        answer = await rig.fetch_token(**changes)
        body = answer.json()
        assert answer.status_code == status
        assert body["error_codes"] == [number]
        assert body["error_description"].startswith(f"AADSTS{number}: ")


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
async def test_certificate_assertions(tmp_path: Path, algorithm: str) -> None:
    signer, stranger, old = Signer(), Signer(), Signer(days=-1)
    async with entra(tmp_path, certificates=(signer.pem, old.pem)) as rig:

        async def number(assertion: str) -> int:
            answer = await rig.fetch_token(client_secret="", client_assertion_type=TYPE, client_assertion=assertion)
            return 0 if answer.status_code == 200 else answer.json()["error_codes"][0]

        good = signer.assertion(claims(rig), algorithm)
        assert await number(good) == 0
        assert await number(good[:-8] + "AAAAAAAA") == 700027
        assert await number("nonsense") == 700027
        assert await number(stranger.assertion(claims(rig), algorithm)) == 700027
        assert await number(old.assertion(claims(rig), algorithm)) == 700027
        assert await number(signer.assertion(claims(rig, aud="https://login.example/x"), algorithm)) == 700023
        assert await number(signer.assertion(claims(rig, iss="someone"), algorithm)) == 700021
        assert await number(signer.assertion(claims(rig, sub="someone"), algorithm)) == 700021
        late = int(time.time()) - 1000
        assert await number(signer.assertion(claims(rig, exp=late), algorithm)) == 700024
        assert await number(signer.assertion(claims(rig, jti=""), algorithm)) == 700027


async def test_graph_checks_signature_expiry_and_audience(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        good = (await rig.fetch_token()).json()["access_token"]
        for token in ("", "nonsense", good[:-6] + "AAAAAA", good.replace(".", ".A", 1)):
            rig.token = token or " "
            answer = await rig.http.get(f"{rig.graph}/v1.0/users", headers={"Authorization": f"Bearer {token or '-'}"})
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "InvalidAuthenticationToken"
            assert "www-authenticate" in answer.headers
        rig.token = good
        await rig.ok("GET", "/users")
        rig.clock.advance(3600)
        error = await rig.refused(401, "GET", "/users")
        assert error["message"] == "Lifetime validation failed, the token is expired."
        rig.token = ""
        await rig.ok("GET", "/users")
        await rig.change({"op": "expire_tokens"})
        await rig.refused(401, "GET", "/users")


async def test_each_call_needs_its_permission(tmp_path: Path) -> None:
    async with entra(tmp_path, roles=("User.Read.All", "EduRoster.Read.All")) as rig:
        await rig.ok("GET", "/users")
        await rig.ok("GET", "/education/classes")
        error = await rig.refused(403, "POST", "/users", rig.user_body("ada"))
        assert (error["code"], error["message"]) == (
            "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")  # fmt: skip
        error = await rig.refused(403, "POST", "/education/schools", {"displayName": "S"})
        assert error["message"] == "Required roles claim values are not provided"
        for path in ("/groups", "/subscribedSkus", "/organization", "/domains", "/directory/administrativeUnits"):
            await rig.refused(403, "GET", path)
        answers = await rig.batch({"method": "GET", "url": "/users"}, {"method": "GET", "url": "/groups"})
        assert {key: item["status"] for key, item in answers.items()} == {"1": 200, "2": 403}


async def test_secrets_and_assertions_stay_out_of_the_log(tmp_path: Path) -> None:
    async with entra(tmp_path) as rig:
        await rig.fetch_token()
        row = rig.journal.read(side="authority")["requests"][0]
        assert row["body"]["client_id"] == rig.sandbox.options.client_id
        assert rig.sandbox.options.client_secret not in str(row)
