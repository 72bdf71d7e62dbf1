"""References to secrets: where a secret is kept, resolved as late as possible."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from pydantic_core import CoreSchema, core_schema

from sds_daemon.errors import ConfigurationError
from sds_daemon.redaction import hide

CREDENTIALS_DIRECTORY = "CREDENTIALS_DIRECTORY"
SERVICE_CREDENTIALS = Path("/run/credentials/sds-daemon.service")
SYSTEM_CREDENTIALS = Path("/etc/sds-daemon/credentials")
SCHEMES = ("credential", "env", "file")


def credential_path(name: str, environment: Mapping[str, str] | None = None) -> Path:
    """Where a credential is: in $CREDENTIALS_DIRECTORY, where systemd puts it for the service.

    For an administrator's command: in the running service's folder, else in the one the unit loads credentials from.
    """
    folder = (os.environ if environment is None else environment).get(CREDENTIALS_DIRECTORY)
    if folder:
        return Path(folder) / name
    loaded = SYSTEM_CREDENTIALS.is_dir() and not SERVICE_CREDENTIALS.exists()
    return (SYSTEM_CREDENTIALS if loaded else SERVICE_CREDENTIALS) / name


class Secret:
    """One secret as the configuration names it: `credential:NAME`, `env:NAME`, `file:PATH`, or the secret itself.

    Neither `repr` nor `str` shows a literal. Equality is that of the written text.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def scheme(self) -> str:
        """`credential`, `env`, `file` or `literal`."""
        head, colon, _ = self._text.partition(":")
        return head if colon and head in SCHEMES else "literal"

    @property
    def name(self) -> str:
        """What the reference names: a credential, a variable, a path. Empty for a literal."""
        return "" if self.scheme == "literal" else self._text.partition(":")[2]

    def reveal(self) -> str:
        """The secret without line ends around it. Raises ConfigurationError naming the reference, never its content."""
        if self.scheme == "credential":
            return hide(self._from_credentials())
        if self.scheme == "env":
            return hide(self._from_environment())
        if self.scheme == "file":
            return hide(self._from_file(Path(self.name), f"file:{self.name}"))
        return hide(self._text)

    def _from_credentials(self) -> str:
        known = os.environ.get(CREDENTIALS_DIRECTORY) or SERVICE_CREDENTIALS.exists() or SYSTEM_CREDENTIALS.is_dir()
        if not known:
            raise ConfigurationError(
                f"credential:{self.name} cannot be read: $CREDENTIALS_DIRECTORY is not set",
                remedy="run under systemd with LoadCredential=, or refer to the secret by file: or env:",
            )
        return self._from_file(credential_path(self.name), f"credential:{self.name}")

    def _from_environment(self) -> str:
        value = os.environ.get(self.name, "")
        if not value:
            raise ConfigurationError(f"env:{self.name}: the variable is not set or empty", remedy=f"set {self.name}")
        return value

    @staticmethod
    def _from_file(path: Path, shown: str) -> str:
        try:
            text = path.read_text(encoding="utf-8").strip("\r\n")
        except UnicodeDecodeError:
            raise ConfigurationError(f"{shown} is not text", remedy="store the secret as UTF-8 text") from None
        except OSError as error:
            raise ConfigurationError(
                f"{shown} cannot be read ({path}: {error.strerror})",
                remedy=f"create the file, readable by the user that runs the daemon (uid {os.getuid()})",
            ) from error
        if not text.strip():
            raise ConfigurationError(f"{shown} is empty ({path})", remedy="write the secret into the file")
        return text

    def __repr__(self) -> str:
        return "Secret(literal)" if self.scheme == "literal" else f"Secret({self._text})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        text = core_schema.no_info_before_validator_function(
            lambda value: value._text if isinstance(value, cls) else value,
            core_schema.str_schema(min_length=1, strict=True),
        )
        shown = core_schema.plain_serializer_function_ser_schema(repr)
        return core_schema.no_info_after_validator_function(cls, text, serialization=shown)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not copied out of this process")
