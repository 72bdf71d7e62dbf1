"""Where each Microsoft cloud keeps its token authority and its Graph."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from sds_daemon.errors import ConfigurationError

if TYPE_CHECKING:
    from sds_daemon.config.settings import TenantSettings


class Cloud(msgspec.Struct, frozen=True, kw_only=True):
    """Service roots without version or trailing slash. `education`: whether /education can exist there at all.

    Source: Graph docs, national cloud deployments; the per-cloud metadata for education.
    """

    name: str
    authority: str
    graph: str
    education: bool = False
    custom: bool = False

    @property
    def scope(self) -> str:
        """The scope of a client-credentials token for this Graph."""
        return f"{self.graph}/.default"

    @property
    def base(self) -> str:
        """The v1.0 service root."""
        return f"{self.graph}/v1.0"

    @property
    def host(self) -> str:
        """The only host (with port, where it is not the default one) that may see a token."""
        return urlsplit(self.graph).netloc.lower()

    @property
    def loopback(self) -> bool:
        """Whether Graph is on this machine: proxies of the environment do not apply."""
        return is_loopback(self.graph)


_US_AUTHORITY = "https://login.microsoftonline.us"
CLOUDS = {
    cloud.name: cloud
    for cloud in (
        Cloud(
            name="global",
            authority="https://login.microsoftonline.com",
            graph="https://graph.microsoft.com",
            education=True,
        ),
        Cloud(name="gcc-high", authority=_US_AUTHORITY, graph="https://graph.microsoft.us"),
        Cloud(name="dod", authority=_US_AUTHORITY, graph="https://dod-graph.microsoft.us"),
        Cloud(
            name="china",
            authority="https://login.chinacloudapi.cn",
            graph="https://microsoftgraph.chinacloudapi.cn",
        ),
    )
}


def cloud_of(settings: TenantSettings) -> Cloud:
    """The cloud of a tenant; a custom one may have /education (preflight finds out).

    Raises ConfigurationError for a custom cloud without its URLs.
    """
    if settings.cloud != "custom":
        return CLOUDS[settings.cloud]
    if not settings.authority or not settings.graph_url:
        raise ConfigurationError(
            f"tenant {settings.name}: cloud is custom and authority or graph_url is missing",
            remedy="set both in config.toml",
        )
    return Cloud(
        name="custom",
        authority=settings.authority.rstrip("/"),
        graph=settings.graph_url.rstrip("/"),
        education=True,
        custom=True,
    )


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine: localhost or a loopback address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
