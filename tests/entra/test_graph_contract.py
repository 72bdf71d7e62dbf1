"""Every request that only reads is one the published Graph contract knows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from live_kit import live, person

from sds_daemon.clock import Clock
from sds_daemon.store import Store
from sds_daemon.targets.entra import facts, members
from sds_daemon.targets.entra.governor import Governor, Lane
from sds_daemon.targets.entra.members import BatchReader
from sds_daemon.targets.entra.reading import Reading

CONTRACTS = Path(__file__).resolve().parents[3] / "shared" / "contracts"


def oracle() -> Any:
    if not (CONTRACTS / "check_graph.py").exists():
        pytest.skip(f"the contract is not at {CONTRACTS}")
    sys.path.insert(0, str(CONTRACTS))
    try:
        from check_graph import Oracle
    finally:
        sys.path.remove(str(CONTRACTS))
    return Oracle()


@pytest.mark.parametrize("education", [True, False])
async def test_reading_keeps_to_the_contract(tmp_path: Path, education: bool) -> None:
    judge = oracle()
    async with live(tmp_path, education=education, page_size=3) as tenant:
        made = await tenant.change(
            *(person(n) for n in range(9)) if education else [{"op": "create_unit", "displayName": "North"}],
            {"op": "create_group", "displayName": "A", "mailNickname": "A"},
            {"op": "create_user", "userPrincipalName": "x@contoso.edu"},
        )
        transport = tenant.transport(read_only=True)
        store = Store.open(tmp_path / "state" / "state.db", Clock())
        await facts.gather(transport)
        cache = store.directory(tenant.settings.tenant_id)
        await Reading(transport, cache, education=education).refresh()
        await tenant.change({"op": "update_group", "id": made[-2]["id"], "displayName": "B"})
        await Reading(transport, cache, education=education).refresh()
        for ids, read in (
            ([made[-2]["id"]], members.group_members),
            ([made[-1]["id"]], members.plans_of),
        ):
            await read(BatchReader(transport, Governor(3000), Lane("x")), ids)
        reader = BatchReader(transport, Governor(3000), Lane("x"))
        await members.school_members(reader, [made[0]["id"]], education=education)
        await transport.close()
        store.close()
        seen: dict[str, list[str]] = {}
        for row in tenant.journal.read("graph")["requests"]:
            url = row["path"] + (f"?{row['query']}" if row["query"] else "")
            if row["path"] != "/$batch":
                seen[f"{row['method']} {url}"] = judge.check(row["method"], url, row["body"])
        assert len(seen) >= 12
        assert {request: problems for request, problems in seen.items() if problems} == {}
