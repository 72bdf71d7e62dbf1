"""What can be set on the PowerSchool server, at start and while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Final

import msgspec

RESOURCES: Final = ("course", "school", "section", "section_enrollment", "staff", "student", "term")
DEFAULT_PAGE_SIZE: Final = 100
THIRTY_DAYS: Final = 30 * 24 * 3600

_CHOICES: Final[dict[str, tuple[object, ...]]] = {
    "v1_access": ("NONE", "READ", "FULL"),
    "over_max_pagesize": ("cap", "error"),
    "expires_in": ("string", "integer"),
    "unauthorized_body": ("json", "empty", "html"),
    "student_order": ("name", "id"),
    "special_schools": ("list", "hide"),
}


class PowerSchoolOptions(msgspec.Struct, frozen=True):
    """What is fixed when the server starts: the plugin's credentials, and the first settings (see `Settings`).

    `plugin` is the folder or .zip file of the plugin, None for one that asks for nothing but /ws/v1.
    """

    client_id: str
    client_secret: str
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    plugin: Path | None = None


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """The switches of the server; `latency` is in sandbox seconds, token times are in real ones.

    `v1_access` is the plugin's level for /ws/v1, which counts from version 25.2 on. `special_schools` says whether the
    school list shows the district office (0) and the graduated students (999999). `token_limit` is the number of token
    requests answered per `token_window`, None for any number. `grants` are fields ("table.field") granted besides those
    of the plugin's access request, `revoked` fields of either that are not; `missing_columns` are columns this server
    does not have. `count_drift` is how many rows more a query's `/count` finds than the reading after it.
    """

    v1_access: str = "READ"
    version: str = "25.7.0.1"
    maintenance: bool = False
    plugin_enabled: bool = True
    page_sizes: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(RESOURCES, DEFAULT_PAGE_SIZE))
    table_page_size: int = DEFAULT_PAGE_SIZE
    over_max_pagesize: str = "cap"
    expires_in: str = "string"
    token_seconds: int = THIRTY_DAYS
    token_limit: int | None = 120
    token_window: float = 60.0
    unauthorized_body: str = "json"
    student_order: str = "name"
    special_schools: str = "list"
    latency: float = 0.0
    grants: list[str] = msgspec.field(default_factory=list)
    revoked: list[str] = msgspec.field(default_factory=list)
    missing_columns: list[str] = msgspec.field(default_factory=list)
    count_drift: int = 0

    @property
    def checks_access_level(self) -> bool:
        """Whether this version of the server knows the v1 access level of plugins (25.2 and later)."""
        numbers = [int(part) for part in self.version.split(".")[:2] if part.isdigit()]
        return numbers >= [25, 2]

    def absent(self) -> frozenset[str]:
        """The columns this server does not have, in lower case."""
        return frozenset(column.lower() for column in self.missing_columns)

    def granted(self, requested: Set[str]) -> frozenset[str]:
        """The fields the plugin may read, in lower case; `requested` are those of its access request."""
        added = {grant.lower() for grant in self.grants}
        return frozenset((requested | added) - {grant.lower() for grant in self.revoked})

    def changed(self, values: Mapping[str, Any]) -> Settings:
        """A copy with these values; ValueError says which one is impossible. `page_sizes` is merged, not replaced."""
        merged = {**msgspec.to_builtins(self), **values}
        if isinstance(values.get("page_sizes"), Mapping):
            merged["page_sizes"] = {**self.page_sizes, **values["page_sizes"]}
        result = msgspec.convert(merged, Settings)
        for name, allowed in _CHOICES.items():
            if getattr(result, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}")
        if set(result.page_sizes) - set(RESOURCES):
            raise ValueError(f"page_sizes knows {', '.join(RESOURCES)}")
        if min([*result.page_sizes.values(), result.table_page_size]) < 1:
            raise ValueError("page sizes must be 1 or more")
        return result
