"""A stateful stand-in for Entra ID and Microsoft Graph v1.0, as strict as the documentation says they are."""

from sds_daemon.sandbox.entra.options import EntraOptions
from sds_daemon.sandbox.entra.sandbox import EntraSandbox

__all__ = ["EntraOptions", "EntraSandbox"]
