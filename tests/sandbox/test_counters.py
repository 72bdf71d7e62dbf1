"""What the administration counts instead of listing it: sizes of the directory, and a log that keeps no rows."""

from __future__ import annotations

from pathlib import Path

from entra_rig import entra

from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.journal import Journal


async def test_sizes_of_the_directory(tmp_path: Path) -> None:
    async with entra(tmp_path, lag_seconds=0.0) as rig:
        school = await rig.ok("POST", "/education/schools", {"displayName": "North", "externalId": "1"})
        users = [(await rig.ok("POST", "/users", rig.user_body(f"p{n}")))["id"] for n in range(3)]
        body = {"displayName": "Maths", "mailNickname": "maths", "externalId": "7", "description": "-"}
        made = (await rig.ok("POST", "/education/classes", body))["id"]
        root = f"{rig.graph}/v1.0"
        await rig.ok("POST", f"/groups/{made}/owners/$ref", {"@odata.id": f"{root}/users/{users[0]}"})
        for user in users:
            await rig.ok("POST", f"/groups/{made}/members/$ref", {"@odata.id": f"{root}/users/{user}"})
        place = f"/education/schools/{school['id']}"
        await rig.ok("POST", f"{place}/users/$ref", {"@odata.id": f"{root}/education/users/{users[0]}"})
        await rig.ok("POST", f"{place}/classes/$ref", {"@odata.id": f"{root}/education/classes/{made}"})
        status, sizes = await rig.sandbox.admin("GET", "sizes", {}, None)
        refused, _ = await rig.sandbox.admin("POST", "sizes", {}, {})
    assert (status, refused) == (200, 405)
    assert sizes == {
        "users": 3,
        "groups": [[1, 3, 1]],
        "schools": 1,
        "school_users": 1,
        "school_classes": 1,
    }


def test_a_log_of_no_rows_goes_on_numbering() -> None:
    journal = Journal(SandboxClock(), limit=0)
    opened = journal.reserve()
    assert journal.record("graph", "GET", "/users", "", 200) == opened + 1
    assert journal.record("graph", "POST", "/$batch", "", 200, n=opened) == opened
    assert journal.read() == {"next": 2, "last": 2, "requests": [], "dropped": 2}
