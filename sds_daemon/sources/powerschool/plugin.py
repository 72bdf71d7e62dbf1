"""The package a PowerSchool administrator installs."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path

import sds_daemon
from sds_daemon.errors import ConfigurationError

MANIFEST = "plugin.xml"
_STAMP = (2026, 1, 1, 0, 0, 0)


def plugin_folder() -> Path:
    """The plugin's files: `_plugin/` in an installed package, `plugin/` in a checkout. Raises ConfigurationError."""
    package = Path(sds_daemon.__file__).parent
    for folder in (package / "_plugin", package.parent / "plugin"):
        if (folder / MANIFEST).is_file():
            return folder
    raise ConfigurationError(f"{package / '_plugin' / MANIFEST} is missing", remedy="install sds-daemon again")


def build_zip(out: Path) -> None:
    """Write the plugin to `out`, plugin.xml at the root of the archive: a folder around it is refused by PowerSchool.

    The same files always make the same bytes. Raises OSError where `out` cannot be written, ConfigurationError.
    """
    folder = plugin_folder()
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as package:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _STAMP)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            package.writestr(entry, path.read_bytes())
    out.write_bytes(archive.getvalue())
