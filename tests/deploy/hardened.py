"""Runs a command under the sandboxing of the unit file, as far as that works without systemd as the first process.

    python hardened.py UNIT FOLDER COMMAND...        (root; FOLDER stays writable, everything else does not)

Every restriction is read from UNIT. Applied are: a mount namespace with a read-only file system, a /tmp of its own and
a /proc that hides other processes (ProtectSystem, PrivateTmp, ProtectProc, ProcSubset), no capabilities, no new
privileges, umask, no core files, and by seccomp SystemCallFilter, RestrictAddressFamilies, MemoryDenyWriteExecute and
RestrictNamespaces. The process that results is COMMAND itself, so that its parent may speak to it by signals.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

CLONE_NEWNS = 0x20000
MS_REMOUNT, MS_BIND = 32, 4096
NO_NEW_PRIVS = 38
MDWE, MDWE_REFUSE_EXEC_GAIN = 65, 1
ALLOW = 0x7FFF0000
DENY = 0x00050000
NOT_EQUAL, MASKED_EQUAL, GREATER = 1, 7, 6
PROT_WRITE, PROT_EXEC = 2, 4
SECOND = "--second"

libc = ctypes.CDLL(None, use_errno=True)


def directives(unit: Path) -> dict[str, list[str]]:
    """All values of each key of the unit."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", "[")):
            found.setdefault(key, []).append(value)
    return found


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def close_the_file_system(unit: dict[str, list[str]], folder: Path) -> None:
    """Everything read-only but the folder; a /tmp and a /proc of its own."""
    if libc.unshare(CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    mount("--make-rprivate", "/")
    keep = os.open(folder, os.O_PATH)
    if unit["PrivateTmp"] == ["yes"]:
        mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/tmp")
    folder.mkdir(parents=True, exist_ok=True)
    if unit["ProtectSystem"] == ["strict"]:
        points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for point in sorted(set(points), key=len):
            if not point.startswith(("/dev", "/proc", "/sys", "/tmp")):
                mount("-o", "remount,bind,ro", point)
    for source, flags in ((f"/proc/self/fd/{keep}".encode(), MS_BIND), (None, MS_BIND | MS_REMOUNT)):
        if libc.mount(source, str(folder).encode(), None, flags, None):  # a new mount; then not read-only
            raise OSError(ctypes.get_errno(), "bind")
    os.close(keep)
    mount("-t", "proc", "-o", f"hidepid={unit['ProtectProc'][0]},subset={unit['ProcSubset'][0]}", "proc", "/proc")


class ScmpArgCmp(ctypes.Structure):
    """struct scmp_arg_cmp of libseccomp."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


class Filter:
    """A seccomp filter: what is not denied or, with a list, what is allowed."""

    def __init__(self, default: int) -> None:
        self._library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self._library.seccomp_init.restype = ctypes.c_void_p
        self._filter = ctypes.c_void_p(self._library.seccomp_init(ctypes.c_uint32(default)))

    def rule(self, action: int, call: str, *conditions: tuple[int, int, int, int]) -> None:
        """One rule; calls this machine does not know are passed over."""
        number = self._library.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        array = (ScmpArgCmp * len(conditions))(*(ScmpArgCmp(*condition) for condition in conditions))
        code = self._library.seccomp_rule_add_array(
            self._filter, ctypes.c_uint32(action), number, ctypes.c_uint(len(conditions)), array
        )
        if code not in (0, -errno.EACCES):  # EACCES: the rule says what the default says
            raise OSError(-code, call)

    def load(self) -> None:
        """From here on it holds."""
        if self._library.seccomp_load(self._filter):
            raise OSError("seccomp_load")


def calls(names: list[str]) -> set[str]:
    """System calls of names and of @groups, by systemd's own lists."""
    found: set[str] = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        listed = subprocess.run(
            ["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True
        ).stdout
        inner = [line.strip() for line in listed.splitlines()[1:]]
        found |= calls([entry for entry in inner if entry and not entry.startswith("#")])
    return found


def allowed_calls(unit: dict[str, list[str]]) -> set[str]:
    allowed: set[str] = set()
    for value in unit["SystemCallFilter"]:
        if value.startswith("~"):
            allowed -= calls(value[1:].split())
        else:
            allowed |= calls(value.split())
    return allowed


def restrict(unit: dict[str, list[str]], allowed: set[str]) -> None:
    """What the unit restricts by seccomp and prctl. No capability is needed once no_new_privs is set."""
    refused = DENY | getattr(errno, unit["SystemCallErrorNumber"][0])
    listed = Filter(refused)
    for call in sorted(allowed):
        listed.rule(ALLOW, call)
    other = Filter(ALLOW)
    if unit["MemoryDenyWriteExecute"] == ["yes"]:
        both = PROT_WRITE | PROT_EXEC
        other.rule(refused, "mmap", (2, MASKED_EQUAL, both, both))
        other.rule(refused, "mprotect", (2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC))
        other.rule(refused, "pkey_mprotect", (2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC))
    families = {int(getattr(socket, name)) for name in unit["RestrictAddressFamilies"][0].split()}
    for family in set(range(max(families))) - families:
        other.rule(DENY | errno.EAFNOSUPPORT, "socket", (0, 4, family, 0))
    other.rule(DENY | errno.EAFNOSUPPORT, "socket", (0, GREATER, max(families), 0))
    if unit["RestrictNamespaces"] == ["yes"]:
        other.rule(refused, "unshare")
        other.rule(refused, "setns")
    other.load()
    listed.load()


def first(unit: Path, folder: Path, command: list[str]) -> None:
    """As root: the file system; then the same program again without any capability."""
    read = directives(unit)
    allowed = ",".join(sorted(allowed_calls(read)))
    close_the_file_system(read, folder)
    resource.setrlimit(resource.RLIMIT_CORE, (int(read["LimitCORE"][0]),) * 2)
    os.umask(int(read["UMask"][0], 8))
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    if read["NoNewPrivileges"] == ["yes"]:
        drop.append("--no-new-privs")
    again = [sys.executable, __file__, SECOND, str(unit), allowed, *command]
    os.execvp(drop[0], [*drop, "--", *again])


def second(unit: Path, allowed: str, command: list[str]) -> None:
    """Without capabilities: the filters, then the command."""
    libc.prctl(MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
    restrict(directives(unit), set(allowed.split(",")))
    os.execv(command[0], command)


if __name__ == "__main__":
    if sys.argv[1] == SECOND:
        second(Path(sys.argv[2]), sys.argv[3], sys.argv[4:])
    else:
        first(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
