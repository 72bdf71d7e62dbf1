"""Every error this program raises on purpose, as one tree.

    SdsError
    ├── ConfigurationError      the operator's files or typing; exit code 2
    │   └── UsageError          a command asked for something that is not there (profile, run, person)
    │       └── AtRest          the profile is disabled or paused
    ├── SourceError             PowerSchool; exit code 3
    │   ├── SourceUnreachable   network, TLS, time-out: trying again may help
    │   ├── SourceDown          maintenance page, HTML where JSON belongs
    │   ├── SourceRefused       credentials or grants: somebody has to act
    │   └── SourceInvalid       an answer that cannot be understood
    │       └── SourceMissing   404 for what has to be there
    ├── TargetError             Entra ID and Graph; exit code 3
    │   ├── TargetUnreachable
    │   ├── TargetRefused       credentials, permissions, consent
    │   └── TargetInvalid       an answer that cannot be understood, a host that is not allowed
    ├── StateError              the state database or directory; exit code 3
    │   └── LeaseHeld           another process works on this profile
    ├── SafetyStop              a gate stopped the run before anything was written; exit code 4
    │   ├── SourceShrank        the source holds much less than last time
    │   └── TooManyIssues       more records than limits.max_issues could not be synced
    └── Interrupted             the run was asked to stop; what was sent is recorded

Each message says what happened, where, and what to do about it.
"""

from __future__ import annotations


class SdsError(Exception):
    """Root of the tree. `remedy` is what the reader can do; it is part of the printed message.

    Messages never hold secrets, tokens, passwords or pupils' names.
    """

    exit_code = 5

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message} — {remedy}" if remedy else message)


class ConfigurationError(SdsError):
    """config.toml, a secret reference, or the environment is wrong. May carry several findings, one a line."""

    exit_code = 2


class UsageError(ConfigurationError):
    """The command line names something that does not exist or does not fit."""


class AtRest(UsageError):
    """The profile is disabled in the configuration, or paused until a person resumes it."""


class SourceError(SdsError):
    """PowerSchool could not be read."""

    exit_code = 3


class SourceUnreachable(SourceError):
    """No answer: DNS, connection, TLS or time-out."""


class SourceDown(SourceError):
    """The server answered with its maintenance page or with HTML."""


class SourceRefused(SourceError):
    """The server refused the credentials or a grant is missing. Trying again does not help."""


class SourceInvalid(SourceError):
    """The server's answer breaks its own format."""


class SourceMissing(SourceInvalid):
    """The server says that something does not exist which has to."""


class TargetError(SdsError):
    """Entra ID or Microsoft Graph could not be used."""

    exit_code = 3


class TargetUnreachable(TargetError):
    """No answer from Graph or the token authority."""


class TargetRefused(TargetError):
    """Credentials, consent or permissions. Trying again does not help."""


class TargetInvalid(TargetError):
    """An answer that cannot be understood, or a link to a host that is not allowed."""


class StateError(SdsError):
    """The state database or state directory cannot be used."""

    exit_code = 3


class LeaseHeld(StateError):
    """Another process holds the profile's lease."""


class SafetyStop(SdsError):
    """A gate stopped the run before the first write."""

    exit_code = 4


class SourceShrank(SafetyStop):
    """The source holds much less than last time. `counts`: rows per resource; `schools`: SIS IDs, empty or gone."""

    def __init__(self, message: str, *, remedy: str, counts: dict[str, int], schools: list[str]) -> None:
        self.counts = counts
        self.schools = schools
        super().__init__(message, remedy=remedy)


class TooManyIssues(SafetyStop):
    """So many records cannot be synced that the configuration or the source must be wrong."""


class Interrupted(SdsError):
    """The run was asked to stop between two batches."""
