"""Two profiles that name one school in different words: only the server can tell, and nothing may be written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import Rig

from process import town

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A sandbox of one school, which the profile `district` names and the profile `other` gives by its number."""
    rig = town.start(tmp_path)
    try:
        yield rig
    finally:
        rig.stop()


def test_it_is_a_fault_of_the_configuration_for_check_preview_and_sync(rig: Rig) -> None:
    [school] = [each for each in rig.district()["schools"] if each["number"] not in (0, 999999)]
    text = rig.config.read_text()
    profile = text[text.index("[profiles.district]") :]
    rig.config.write_text(
        text.replace('schools = "all"', f'schools = ["{school["name"]}"]')
        + profile.replace('schools = "all"', f'schools = ["{school["number"]}"]').replace(".district", ".other")
    )
    mark = rig.request_mark()
    for command in ("check", "preview", "sync"):
        for name, rival in (("district", "other"), ("other", "district")):
            ended = rig.run(command, name).expect(2)
            assert f"profile {rival} has {school['name']} ({school['number']}) too" in ended.out + ended.err
    assert rig.writes_since(mark) == []
