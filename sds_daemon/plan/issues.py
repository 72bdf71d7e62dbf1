"""Issues: records that could not be synced, with School Data Sync's error code where it had one."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from sds_daemon.roster.records import Ref


class IssueCode(StrEnum):
    """Codes as School Data Sync spelt them where it had one; the rest are ours in the same manner."""

    MISSING_ATTRIBUTE = "MissingRequiredAttribute"
    INVALID_REFERENCE = "InvalidLookupReference"
    UNMATCHED = "UnmatchedEntry"
    DUPLICATE_TARGET = "DuplicateTargetEntries"
    DUPLICATE_SIS_ID = "DuplicateSisId"
    INVALID_VALUE = "AzureActiveDirectoryInvalidPropertyValue"
    INVALID_LICENSE = "AzureActiveDirectoryInvalidLicense"
    LICENSE_GROUP = "LicenseGroupUnusable"
    NO_SEAT = "AzureActiveDirectoryNoLicenseAvailable"
    INVALID_USAGE_LOCATION = "AzureActiveDirectoryInvalidUserUsageLocation"
    UPN_TAKEN = "UserPrincipalNameTaken"
    WRONG_DOMAIN = "UsernameDomainMismatch"
    ALIAS_TAKEN = "GroupAliasTaken"
    ROLE_CONFLICT = "TeacherIsAlsoStudent"
    HOME_SCHOOL = "HomeSchoolNotInScope"
    INACTIVE_PERSON = "InactivePerson"
    NO_TEACHER = "SectionWithoutTeacher"
    TOO_MANY_OWNERS = "TooManyOwners"
    QUOTA_EXCEEDED = "DirectoryQuotaExceeded"
    LAST_OWNER = "CannotRemoveLastOwner"
    ON_PREMISES = "OnPremisesMastered"
    OBJECT_DELETED = "DirectoryObjectDeleted"
    INVALID_RECORD = "InvalidRecord"
    REFUSED = "RequestRefused"
    SCHOOL_EMPTY = "SchoolWithoutData"
    SCHOOL_VANISHED = "SchoolNoLongerListed"
    SCHOOL_UNREADABLE = "SchoolListsMissing"
    NO_SECTIONS = "SchoolWithoutSections"


REMEDIES: dict[IssueCode, str] = {
    IssueCode.MISSING_ATTRIBUTE: "fill the field in PowerSchool",
    IssueCode.INVALID_REFERENCE: "the person or school named here did not sync; cure that issue first",
    IssueCode.UNMATCHED: "create the account, or correct the identity rule or the value in PowerSchool",
    IssueCode.DUPLICATE_TARGET: "make the value unique, in PowerSchool or in the directory",
    IssueCode.DUPLICATE_SIS_ID: "two records came with one id; ask the PowerSchool administrator to look",
    IssueCode.INVALID_VALUE: "correct the value in PowerSchool, or set replace_invalid_characters",
    IssueCode.INVALID_LICENSE: "choose a licence the tenant owns (sds-daemon check lists them)",
    IssueCode.LICENSE_GROUP: "name a group that gives licences and takes members by hand (sds-daemon check says more)",
    IssueCode.NO_SEAT: "buy or free seats; the assignment is tried again every cycle",
    IssueCode.INVALID_USAGE_LOCATION: "set usage_location in the profile",
    IssueCode.UPN_TAKEN: "rename the account that holds the name, change the Username, or use match",
    IssueCode.WRONG_DOMAIN: "change the Username in PowerSchool, or the domain of the profile",
    IssueCode.ALIAS_TAKEN: "free the alias, change class_alias, or set adopt_existing = true",
    IssueCode.ROLE_CONFLICT: "the account is linked to the teacher record; remove one of the two records",
    IssueCode.HOME_SCHOOL: "add the home school to a profile of the same source and tenant",
    IssueCode.INACTIVE_PERSON: "end the enrollment or activate the student in PowerSchool",
    IssueCode.NO_TEACHER: 'assign a lead teacher, or set teacherless = "create"',
    IssueCode.TOO_MANY_OWNERS: "a group has at most 100 owners; remove some",
    IssueCode.QUOTA_EXCEEDED: "the tenant's object quota is used up; ask Microsoft to raise it",
    IssueCode.LAST_OWNER: "add another owner first",
    IssueCode.ON_PREMISES: "change the attribute in the local Active Directory",
    IssueCode.OBJECT_DELETED: "restore the object from the recycle bin, or drop the link (sds-daemon links drop)",
    IssueCode.INVALID_RECORD: "correct the record in PowerSchool",
    IssueCode.REFUSED: "read the message of the directory",
    IssueCode.SCHOOL_EMPTY: "look at it in PowerSchool; if it is right, sds-daemon sync PROFILE --accept-shrink",
    IssueCode.SCHOOL_VANISHED: "look at PowerSchool; if the school has closed, sds-daemon sync PROFILE --accept-shrink",
    IssueCode.SCHOOL_UNREADABLE: "look at the school in PowerSchool: is it being set up or taken away?",
    IssueCode.NO_SECTIONS: "set up the school's terms and sections of the year in PowerSchool",
}


class Severity(StrEnum):
    """`note` is said once and does not make a run "with issues"."""

    ERROR = "error"
    NOTE = "note"


class Issue(msgspec.Struct, frozen=True, kw_only=True):
    """One record that could not be synced as wanted.

    `detail` is a plain sentence without names of people. `joining_value` is the value used to match (SDS's
    joiningValue); it may be personal and is shown to the operator only, never logged. `count`: rows concerned, such as
    the enrollments of a student who could not be matched.
    """

    ref: Ref
    code: IssueCode
    detail: str
    joining_value: str = ""
    severity: Severity = Severity.ERROR
    count: int = 1

    @property
    def key(self) -> tuple[Ref, IssueCode]:
        """Identity across runs: first and last seen are kept by it."""
        return (self.ref, self.code)
