"""First passwords and seats."""

from __future__ import annotations

from sds_daemon.targets.base import Sku
from sds_daemon.targets.entra.accounts import Licenses, make_password


def test_passwords_have_all_classes_and_nothing_to_mistake() -> None:
    made = {make_password() for _ in range(500)}
    assert len(made) == 500
    for password in made:
        assert len(password) >= 16
        assert password[0].isalpha()
        assert any(c.islower() for c in password)
        assert any(c.isupper() for c in password)
        assert any(c.isdigit() for c in password)
        assert any(not c.isalnum() for c in password)
        assert password.isascii()
        assert not set(password) & set("0Oo1lI5S2Z")


def test_licences_are_named_by_part_number_or_id() -> None:
    sku = Sku(id="314c4481-f395-4525-be8b-2ec4bb1e9d91", part_number="STANDARDWOFFPACK_STUDENT", seats=1, seats_free=1)
    licenses = Licenses({sku.id: sku})
    assert licenses.resolve(["standardwoffpack_student", sku.id.upper()]) == ([sku.id], [])
    assert licenses.resolve(["A5", sku.part_number]) == ([sku.id], ["A5"])
    assert not licenses.exhausted([sku.id])
    licenses.out_of_seats([sku.id])
    assert licenses.exhausted([sku.id])
