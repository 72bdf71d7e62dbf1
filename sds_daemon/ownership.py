"""Files that an administrator's command makes for the service."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def give_to_folder_owner(path: Path) -> None:
    """Where root has just made a file in another user's folder, make it that user's.

    So an administrator can run a command as root on the state directory of the service without locking the service out.
    Does nothing for anybody but root, and follows no symbolic link, which the folder's owner may have laid. Raises
    OSError.
    """
    if os.geteuid() != 0:
        return
    folder = path.parent.stat()
    found = path.lstat()
    if stat.S_ISREG(found.st_mode) and found.st_uid == 0 and (folder.st_uid, folder.st_gid) != (0, found.st_gid):
        os.chown(path, folder.st_uid, folder.st_gid, follow_symlinks=False)
