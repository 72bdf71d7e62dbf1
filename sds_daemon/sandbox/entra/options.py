"""Everything about the sandbox tenant that can be chosen, at the start or while it runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sds_daemon.sandbox.entra.skus import Sku, sku

DEFAULT_ROLES = (
    "User.ReadWrite.All",
    "Group.ReadWrite.All",
    "Member.Read.Hidden",
    "LicenseAssignment.ReadWrite.All",
    "Organization.Read.All",
    "AdministrativeUnit.ReadWrite.All",
    "EduRoster.ReadWrite.All",
)
_FIXED = frozenset(
    {"tenant_id", "client_id", "client_secret", "extra_secrets", "expired_secrets", "certificates", "skus", "users"}
)
_CHOICES: dict[str, tuple[str, ...]] = {
    "cost_model": ("one", "thirds"),
    "retry_after": ("integer", "fractional", "absent"),
    "tenant_size": ("auto", "S", "M", "L"),
}


def _default_skus() -> list[Sku]:
    return [sku("STANDARDWOFFPACK_STUDENT"), sku("STANDARDWOFFPACK_FACULTY")]


@dataclass
class EntraOptions:
    """Times are sandbox seconds, except `token_lifetime` (real seconds, as clients measure it).

    `certificates` are PEM texts; `users` are dicts as the `create_user` change takes them, present from the start.
    `lag_seconds` is the horizon up to which a write may stay invisible to reads. `cost_model`: what adding k members in
    one PATCH costs, 1 write ("one") or ceil(k/3) ("thirds"). `service_seconds`: how long a write holds its object.
    """

    tenant_id: str = "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1"
    tenant_name: str = "Contoso School District"
    client_id: str = "0f6c3b1e-52a7-4f0b-8d1a-6f0d2c9a7e44"
    client_secret: str = "sandbox~secret"  # noqa: S105 - made up, for the sandbox alone
    extra_secrets: tuple[str, ...] = ()
    expired_secrets: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    roles: tuple[str, ...] = DEFAULT_ROLES
    token_lifetime: int = 3599
    domains: list[str] = field(default_factory=lambda: ["contoso.edu", "contoso.onmicrosoft.com"])
    group_mail_domain: str | None = None
    education: bool = True
    education_api: bool = True
    on_premises_sync: bool = False
    skus: list[Sku] = field(default_factory=_default_skus)
    exclusive_skus: bool = False
    users: Iterable[Mapping[str, Any]] = ()
    seed: int = 1
    lag_seconds: float = 5.0
    service_seconds: float = 0.05
    page_size: int = 100
    delta_page_size: int = 200
    delta_token_days: float = 7.0
    tenant_size: str = "auto"
    write_quota: int = 3000
    write_period: float = 150.0
    tenant_write_quota: int = 18_000
    tenant_write_period: float = 300.0
    education_quota: int = 35_000
    education_period: float = 10.0
    throttling: bool = True
    cost_model: str = "one"
    education_counted: bool = False
    retry_after: str = "fractional"
    object_quota: int = 300_000
    max_owners: int = 100
    max_members: int = 25_000
    max_units: int = 30

    def as_json(self) -> dict[str, Any]:
        """Every setting that may be read and changed while running; secrets are not among them."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in _FIXED}

    def change(self, settings: Mapping[str, Any]) -> None:
        """Set several options at once, or none: ValueError names an unknown option or a wrong value."""
        current = self.as_json()
        for name, value in settings.items():
            _check(name, value, current)
        for name, value in settings.items():
            setattr(self, name, tuple(value) if name == "roles" else value)


def _check(name: str, value: object, current: Mapping[str, Any]) -> None:
    if name not in current:
        raise ValueError(f"unknown setting {name!r}; known are {sorted(current)}")
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise ValueError(f"{name} must be one of {_CHOICES[name]}")
        return
    old = current[name]
    if isinstance(old, bool) or isinstance(value, bool):
        right = isinstance(old, bool) and isinstance(value, bool)
    elif isinstance(old, float | int):
        right = isinstance(value, float | int) and value >= 0
    elif isinstance(old, list | tuple):
        right = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    else:
        right = isinstance(value, str) or (value is None and name == "group_mail_domain")
    if not right:
        raise ValueError(f"{name} does not take {value!r}")
