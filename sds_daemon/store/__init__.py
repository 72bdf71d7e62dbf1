"""All SQL of the program: the state database."""

from sds_daemon.store.baselines import Baseline, Baselines
from sds_daemon.store.directory import Directory
from sds_daemon.store.drift import DriftRecord, DriftReport, Drifts
from sds_daemon.store.held import Held, HeldSet
from sds_daemon.store.issues import IssueRecord, IssueReport, Issues
from sds_daemon.store.lease import Lease
from sds_daemon.store.links import Head, Link, Links
from sds_daemon.store.memberships import Membership, Memberships, Role
from sds_daemon.store.profiles import Profiles, ProfileState
from sds_daemon.store.runs import ChangeRecord, RunRecord, Runs
from sds_daemon.store.safety import Announced, Relaxation, SourceStop
from sds_daemon.store.sightings import Sightings
from sds_daemon.store.store import Store, copy_database

__all__ = [
    "Announced",
    "Baseline",
    "Baselines",
    "ChangeRecord",
    "Directory",
    "DriftRecord",
    "DriftReport",
    "Drifts",
    "Head",
    "Held",
    "HeldSet",
    "IssueRecord",
    "IssueReport",
    "Issues",
    "Lease",
    "Link",
    "Links",
    "Membership",
    "Memberships",
    "ProfileState",
    "Profiles",
    "Relaxation",
    "Role",
    "RunRecord",
    "Runs",
    "Sightings",
    "SourceStop",
    "Store",
    "copy_database",
]
