"""Profiles that read the same server into the same tenant, of which no two may share a school."""

from __future__ import annotations

from urllib.parse import urlsplit

from sds_daemon.config.settings import Profile, Settings


def neighbours(settings: Settings, profile: Profile) -> dict[str, str | tuple[str, ...]]:
    """What the other profiles of this server and tenant have as `schools`, by profile.

    A school has a name and a number, and only the server knows which belong together: config/rules.py finds what is
    written alike, the source what is not.
    """
    here = _pair(settings, profile)
    others = (other for other in settings.profiles.values() if other.name != profile.name)
    return {other.name: other.schools for other in others if _pair(settings, other) == here}


def _pair(settings: Settings, profile: Profile) -> tuple[str | None, int, str]:
    url = urlsplit(settings.sources[profile.source].url)
    port = url.port or (443 if url.scheme == "https" else 80)
    return url.hostname, port, settings.tenants[profile.tenant].tenant_id.lower()
