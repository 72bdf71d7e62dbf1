"""The real client libraries against the sandbox, over TLS with its own certificate authority."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx
import pytest
from azure.identity.aio import CertificateCredential, ClientSecretCredential
from entra_rig import entra
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.password_profile import PasswordProfile
from msgraph.generated.models.user import User
from msgraph.graph_request_adapter import GraphRequestAdapter
from msgraph.graph_service_client import GraphServiceClient
from test_entra_authority import Signer


@pytest.mark.parametrize("http2", [False, True])
async def test_sdk_with_secret(tmp_path: Path, http2: bool) -> None:
    async with entra(tmp_path, tls=True, http2=http2) as rig:
        options = rig.sandbox.options
        ca = str(tmp_path / "ca.pem")
        credential = ClientSecretCredential(
            options.tenant_id, options.client_id, options.client_secret, authority=rig.authority,
            disable_instance_discovery=True, connection_verify=ca,
        )  # fmt: skip
        provider = AzureIdentityAuthenticationProvider(
            credential, scopes=[f"{rig.graph}/.default"], allowed_hosts=["127.0.0.1"]
        )
        context = ssl.create_default_context(cafile=ca)
        async with httpx.AsyncClient(verify=context, http2=http2) as http:
            adapter = GraphRequestAdapter(provider, http)
            adapter.base_url = f"{rig.graph}/v1.0"
            client = GraphServiceClient(request_adapter=adapter)
            profile = PasswordProfile(password="xY12345678!", force_change_password_next_sign_in=True)
            user = User(
                account_enabled=True, display_name="Ada", mail_nickname="ada", usage_location="US",
                user_principal_name="ada@contoso.edu", password_profile=profile,
            )  # fmt: skip
            made = await client.users.post(user)
            assert made is not None
            assert made.user_principal_name == "ada@contoso.edu"
            with pytest.raises(ODataError) as refused:
                await client.users.post(user)
            assert refused.value.error is not None
            assert refused.value.error.message is not None
            assert refused.value.error.message.startswith("Another object with the same value")
            assert refused.value.error.details is not None
            assert refused.value.error.details[0].code == "ObjectConflict"
        await credential.close()


async def test_certificate_credential(tmp_path: Path) -> None:
    signer = Signer()
    async with entra(tmp_path, tls=True, certificates=(signer.pem,)) as rig:
        options = rig.sandbox.options
        credential = CertificateCredential(
            options.tenant_id, options.client_id, certificate_data=signer.key_and_certificate.encode(),
            authority=rig.authority, disable_instance_discovery=True, connection_verify=str(tmp_path / "ca.pem"),
        )  # fmt: skip
        rig.token = (await credential.get_token(f"{rig.graph}/.default")).token
        await rig.ok("GET", "/users")
        await credential.close()


async def test_cut_connections_over_http2(tmp_path: Path) -> None:
    async with entra(tmp_path, http2=True) as rig:
        rig.faults.add({"side": "graph", "kind": "lost_answer", "method": "POST", "path": "^/users$", "times": 1})
        with pytest.raises(httpx.TransportError):
            await rig.user("ada")
        assert len((await rig.state())["users"]) == 1
        await rig.user("bob")
