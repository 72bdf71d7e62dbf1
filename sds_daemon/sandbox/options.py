"""What a whole sandbox can be started with."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

WRITES_PER_PERIOD: Final = 3000
LAG_HORIZON_SECONDS: Final = 900


@dataclass(frozen=True)
class SandboxOptions:
    """`district` is `csv:DIR` or None for a generated one; `today` moves both servers to that day.

    `users`: "create" starts with an empty directory, "match" with an account per person, of which `users_missing` are
    left out and `users_ambiguous` have a namesake (same mailNickname). `write_quota` and `lag` are in sandbox time.
    With `watch_parent` a sandbox process ends when the process that started it is gone. `log_limit` bounds the rows of
    the request log. `powerschool` and `entra` are further settings of the two servers by name. `plugin` is the folder
    or .zip file of the plugin installed on the PowerSchool server, the one that comes with the program by default.
    """

    students: int = 1000
    seed: int = 1
    district: str | None = None
    today: dt.date | None = None
    time_scale: float = 1.0
    config_out: Path | None = None
    users: str = "create"
    users_missing: int = 0
    users_ambiguous: int = 0
    domain: str = "contoso.edu"
    education: bool = True
    education_counted: bool = False
    lag: float | None = None
    cost_model: str = "one"
    write_quota: int = WRITES_PER_PERIOD
    port_base: int | None = None
    http2: bool = False
    log_limit: int | None = None
    watch_parent: bool = False
    plugin: Path | None = None
    powerschool: Mapping[str, Any] = field(default_factory=dict)
    entra: Mapping[str, Any] = field(default_factory=dict)
