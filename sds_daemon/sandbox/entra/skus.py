"""The licences a sandbox tenant may own, with Microsoft's published SKU and service plan ids."""

from __future__ import annotations

from dataclasses import dataclass, field

EXCHANGE_PLANS = frozenset({"9aaf7827-d63c-4b61-89c3-182f06f82e5c", "efb87545-963c-4e0d-99df-69c6916d9eb0"})


@dataclass(frozen=True)
class ServicePlan:
    """One service inside a licence."""

    id: str
    name: str


@dataclass
class Sku:
    """One subscribed licence. Seats are counted in `consumed` by the directory; two SKUs of one `group` exclude
    each other on a user when the option for it is on."""

    id: str
    part_number: str
    plans: tuple[ServicePlan, ...]
    enabled: int = 100_000
    warning: int = 0
    consumed: int = 0
    status: str = "Enabled"
    group: str = field(default="office")


_EXCHANGE_S_STANDARD = ServicePlan("9aaf7827-d63c-4b61-89c3-182f06f82e5c", "EXCHANGE_S_STANDARD")
_COMMON = (
    _EXCHANGE_S_STANDARD,
    ServicePlan("e03c7e47-402c-463c-ab25-949079bedb21", "SHAREPOINTWAC_EDU"),
    ServicePlan("57ff2da0-773e-42df-b2af-ffb7a2317929", "TEAMS1"),
    ServicePlan("0feaeb32-d00e-4d66-bd5a-43b5b83db82c", "MCOSTANDARD"),
    ServicePlan("a23b959c-7ce8-4e57-9140-b90eb88a9e97", "SWAY"),
    ServicePlan("7547a3fe-08ee-4ccb-b430-5077c5041653", "YAMMER_ENTERPRISE"),
)
_FACULTY = (*_COMMON, ServicePlan("63038b2c-28d0-45f6-bc36-33062963b498", "SHAREPOINTENTERPRISE_EDU"))
_STUDENT = (*_COMMON, ServicePlan("0a4983bb-d3e5-4a09-95d8-b2d0127b3df5", "SHAREPOINTSTANDARD_EDU"))

KNOWN = {
    "STANDARDWOFFPACK_STUDENT": ("314c4481-f395-4525-be8b-2ec4bb1e9d91", _STUDENT),
    "STANDARDWOFFPACK_FACULTY": ("94763226-9b3c-4e75-a931-5c89701abe66", _FACULTY),
}


def sku(part_number: str, enabled: int = 100_000) -> Sku:
    """A fresh subscription of a known part number; KeyError for an unknown one."""
    sku_id, plans = KNOWN[part_number]
    return Sku(sku_id, part_number, plans, enabled)


def has_exchange(disabled: list[str], owned: Sku) -> bool:
    """Whether the licence, without its disabled plans, gives a mailbox."""
    return any(plan.id in EXCHANGE_PLANS and plan.id not in disabled for plan in owned.plans)
