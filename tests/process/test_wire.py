"""What goes over the wire: the protocol's version, certificates, and that a token never leaves its Graph."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from rig import Rig

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

TENANT = "tenants.contoso"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A synchronised district on a sandbox that offers HTTP/2."""
    with Rig(tmp_path_factory.mktemp("wire"), "--students", "30", "--time-scale", "50", "--http2") as made:
        made.sync()
        yield made


@pytest.fixture
def healed(rig: Rig) -> Iterator[Rig]:
    """The same, with every fault and setting taken back afterwards."""
    before = rig.config.read_text()
    yield rig
    rig.config.write_text(before)
    rig.delete("faults")


def versions(rig: Rig) -> set[str]:
    """Versions of HTTP in which Graph was asked."""
    return {row["http"] for row in rig.get("requests", side="graph")["requests"] if row["batch"] is None}


def test_http_2_is_spoken_where_it_is_offered(rig: Rig) -> None:
    assert versions(rig) == {"2"}


def test_http_1_is_spoken_where_it_is_not(tmp_path: Path) -> None:
    with Rig(tmp_path, "--students", "5", "--time-scale", "50") as rig:
        rig.sync()
        assert versions(rig) == {"1.1"}


def other_authority(folder: Path) -> Path:
    path = folder / "other-ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


@pytest.mark.parametrize("table", [TENANT, "sources.powerschool"])
def test_a_server_of_another_certificate_authority_is_refused(healed: Rig, tmp_path: Path, table: str) -> None:
    mark = healed.request_mark()
    healed.edit(table, ca_file=str(other_authority(tmp_path)))
    for command in ("sync", "preview", "check"):
        done = healed.run(command, "district").expect(3)
        assert "ca_file" in done.err + done.out
        assert "certificate" in done.err + done.out
    side = "powerschool" if "powerschool" in table else "graph"
    assert healed.get("requests", side=side, since=mark)["requests"] == []


def test_without_ca_file_a_private_authority_is_refused(healed: Rig) -> None:
    healed.edit(TENANT, ca_file=None)
    done = healed.run("sync", "district").expect(3)
    assert "ca_file" in done.err


def elsewhere(rig: Rig) -> list[dict[str, Any]]:
    """Requests for Graph that arrived at the other server of the sandbox."""
    rows = rig.get("requests", side="powerschool")["requests"]
    return [row for row in rows if "/v1.0" in row["path"] or "users" in row["path"]]


def test_a_page_link_to_another_server_is_not_followed(healed: Rig) -> None:
    page = {"value": [], "@odata.nextLink": f"{healed.ready['powerschool']}/v1.0/users/delta?$skiptoken=x"}
    healed.post("faults", {"side": "graph", "kind": "status", "path": "/users/delta", "status": 200, "body": page})
    done = healed.run("sync", "district").expect(3)
    assert healed.ready["powerschool"] in done.err
    assert "token was not sent there" in done.err
    assert elsewhere(healed) == []


def test_a_redirect_to_another_server_is_not_followed(healed: Rig) -> None:
    there = {"Location": f"{healed.ready['powerschool']}/v1.0/users/delta"}
    healed.post("faults", {"side": "graph", "kind": "redirect", "path": "/users/delta", "headers": there})
    healed.run("sync", "district").expect(3)
    assert elsewhere(healed) == []


def test_a_redirect_of_the_token_request_takes_no_secret_along(healed: Rig) -> None:
    there = {"Location": f"{healed.ready['powerschool']}/users/oauth2/v2.0/token"}
    healed.post("faults", {"side": "authority", "kind": "redirect", "status": 307, "headers": there})
    healed.run("sync", "district").expect(3)
    assert elsewhere(healed) == []
