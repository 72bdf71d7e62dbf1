"""Every request that only reads is one the published Graph contract knows."""

from __future__ import annotations

from pathlib import Path

import contracts
import pytest
from live_kit import live, person

from sds_daemon.clock import Clock
from sds_daemon.store import Store
from sds_daemon.targets.entra import facts, members
from sds_daemon.targets.entra.governor import Governor, Lane
from sds_daemon.targets.entra.members import BatchReader
from sds_daemon.targets.entra.reading import Reading


@pytest.mark.parametrize("education", [True, False])
async def test_reading_keeps_to_the_contract(tmp_path: Path, education: bool) -> None:
    if contracts.oracle() is None:
        pytest.skip(contracts.ABSENT)
    before = contracts.counts.copy()
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
        assert len(contracts.counts - before) >= 10
