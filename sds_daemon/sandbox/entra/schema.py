"""What properties Graph's resources have: type, length, who may write them, and what is returned unasked.

One table per resource, one line per property: `name type [limit] [flags]`. Types: str, bool, int, strs (list of str),
date, datetime, and the names of COMPLEX (with [] for a list). Flags: ro (read-only), need (required on create), keep
(cannot be set to null), new (only on create).
"""

from __future__ import annotations

from dataclasses import dataclass, field

EDUCATION_PREFIX = "extension_fe2174665583431c953114ff7268b7b3_Education_"


@dataclass(frozen=True, slots=True)
class Prop:
    """One property of a resource."""

    name: str
    type: str
    limit: int | None = None
    read_only: bool = False
    needed: bool = False
    keep: bool = False
    create_only: bool = False


@dataclass(frozen=True)
class Resource:
    """One entity type. `education` names the properties that live on the education side of the object; `extensions`
    the directory extension attributes (without prefix) it may carry, empty for a closed type."""

    label: str
    type: str
    context: str
    props: dict[str, Prop]
    defaults: tuple[str, ...]
    education: frozenset[str] = frozenset()
    extensions: frozenset[str] = frozenset()
    filterable: frozenset[str] | None = None
    links: frozenset[str] = field(default_factory=frozenset)


def _table(text: str) -> dict[str, Prop]:
    props = {}
    for line in text.strip().splitlines():
        name, kind, *rest = line.split()
        limit = next((int(word) for word in rest if word.isdigit()), None)
        props[name] = Prop(name, kind, limit, "ro" in rest, "need" in rest, "keep" in rest, "new" in rest)
    return props


COMPLEX: dict[str, dict[str, Prop]] = {
    "passwordProfile": _table("""
        password str 256
        forceChangePasswordNextSignIn bool
        forceChangePasswordNextSignInWithMfa bool
    """),
    "student": _table("""
        birthDate date
        externalId str 256
        gender gender
        grade str 256
        graduationYear str 256
        studentNumber str 256
    """),
    "teacher": _table("""
        externalId str 256
        teacherNumber str 256
    """),
    "course": _table("""
        courseNumber str 256
        description str 1024
        displayName str 256
        externalId str 256
        subject str 256
    """),
    "term": _table("""
        displayName str 256
        endDate date
        externalId str 256
        startDate date
    """),
    "address": _table("""
        city str 256
        countryOrRegion str 256
        postalCode str 40
        state str 128
        street str 1024
    """),
    "contact": _table("""
        accessConsent bool
        displayName str 256
        emailAddress str 256
        mobilePhone str 64
        relationship str
    """),
    "onPremisesInfo": _table("immutableId str"),
    "identitySet": _table("""
        application identity
        device identity
        user identity
    """),
    "identity": _table("""
        displayName str
        id str
    """),
    "extensionAttributes": _table("\n".join(f"extensionAttribute{number} str 1024" for number in range(1, 16))),
    "orgData": _table("""
        costCenter str
        division str
    """),
    "objectIdentity": _table("""
        issuer str 512
        issuerAssignedId str 64
        signInType str
    """),
    "label": _table("""
        displayName str
        labelId str
    """),
}

ENUMS: dict[str, tuple[str, ...]] = {
    "gender": ("female", "male", "other", "unknownFutureValue"),
    "externalSource": ("sis", "manual", "unknownFutureValue"),
    "primaryRole": ("student", "teacher", "none", "unknownFutureValue"),
}

_PERSON = """
    accountEnabled bool need keep
    businessPhones strs
    department str 64
    displayName str 256 need keep
    givenName str 64
    id str ro
    mailNickname str 64 need keep
    mobilePhone str 64
    officeLocation str 128
    passwordPolicies str
    passwordProfile passwordProfile need
    preferredLanguage str 64
    surname str 64
    usageLocation str keep
    userPrincipalName str 113 need keep
    userType str
    assignedLicenses any ro
    assignedPlans any ro
    provisionedPlans any ro
"""

_USER = """
    aboutMe str
    ageGroup str
    authorizationInfo any ro
    birthday datetime
    city str 128
    companyName str 64
    consentProvidedForMinor str
    country str 128
    createdDateTime datetime ro
    creationType str ro
    customSecurityAttributes any ro
    deletedDateTime datetime ro
    deviceEnrollmentLimit int ro
    employeeHireDate datetime
    employeeId str 16
    employeeLeaveDateTime datetime
    employeeOrgData orgData
    employeeType str 64
    externalUserState str ro
    externalUserStateChangeDateTime datetime ro
    faxNumber str 64
    hireDate datetime
    identities objectIdentity[]
    identityParentId str ro
    imAddresses strs ro
    interests strs
    isManagementRestricted bool ro
    isResourceAccount bool ro
    jobTitle str 128
    lastPasswordChangeDateTime datetime ro
    legalAgeGroupClassification str ro
    licenseAssignmentStates any ro
    mail str 256
    mailboxSettings any ro
    mySite str
    onPremisesDistinguishedName str ro
    onPremisesDomainName str ro
    onPremisesExtensionAttributes extensionAttributes
    onPremisesImmutableId str 64
    onPremisesLastSyncDateTime datetime ro
    onPremisesProvisioningErrors any ro
    onPremisesSamAccountName str ro
    onPremisesSecurityIdentifier str ro
    onPremisesSyncEnabled bool ro
    onPremisesUserPrincipalName str ro
    otherMails strs
    pastProjects strs
    postalCode str 40
    preferredDataLocation str
    preferredName str
    print any ro
    proxyAddresses strs ro
    responsibilities strs
    schools strs
    securityIdentifier str ro
    serviceProvisioningErrors any ro
    showInAddressList bool
    signInActivity any ro
    signInSessionsValidFromDateTime datetime ro
    skills strs
    state str 128
    streetAddress str 1024
"""

_EDUCATION_USER = """
    createdBy identitySet
    externalSource externalSource
    externalSourceDetail str 256
    mail str ro
    mailingAddress address
    middleName str 256
    onPremisesInfo onPremisesInfo
    primaryRole primaryRole need keep
    refreshTokensValidFromDateTime datetime ro
    relatedContacts contact[]
    residenceAddress address
    showInAddressList bool ro
    student student
    teacher teacher
"""

_GROUP = """
    allowExternalSenders bool
    assignedLabels label[]
    assignedLicenses any ro
    autoSubscribeNewMembers bool
    classification str 256
    createdDateTime datetime ro
    creationOptions strs new
    deletedDateTime datetime ro
    description str 1024
    displayName str 256 need keep
    expirationDateTime datetime ro
    groupTypes strs keep
    hasMembersWithLicenseErrors bool ro
    hideFromAddressLists bool
    hideFromOutlookClients bool
    id str ro
    isArchived bool ro
    isAssignableToRole bool new
    isManagementRestricted bool ro
    isSubscribedByMail bool
    licenseProcessingState any ro
    mail str ro
    mailEnabled bool need keep
    mailNickname str 64 need keep
    membershipRule str 3072
    membershipRuleProcessingState str
    onPremisesDomainName str ro
    onPremisesLastSyncDateTime datetime ro
    onPremisesNetBiosName str ro
    onPremisesProvisioningErrors any ro
    onPremisesSamAccountName str ro
    onPremisesSecurityIdentifier str ro
    onPremisesSyncEnabled bool ro
    preferredDataLocation str
    preferredLanguage str
    proxyAddresses strs ro
    renewedDateTime datetime ro
    resourceBehaviorOptions strs new
    resourceProvisioningOptions strs
    securityEnabled bool need keep
    securityIdentifier str ro
    serviceProvisioningErrors any ro
    theme str
    uniqueName str 128 new
    unseenCount int
    visibility str
    welcomeMessageEnabled bool
"""

_CLASS = """
    classCode str 256
    course course
    createdBy identitySet
    description str 1024
    displayName str 256 need keep
    externalId str 256
    externalName str 256
    externalSource externalSource
    externalSourceDetail str 256
    grade str 256
    id str ro
    mailNickname str 64 need keep
    term term
"""

_SCHOOL = """
    address address
    createdBy identitySet
    description str 1024
    displayName str 256 need keep
    externalId str 256
    externalPrincipalId str 256
    externalSource externalSource
    externalSourceDetail str 256
    fax str 64
    highestGrade str 256
    id str ro
    lowestGrade str 256
    phone str 64
    principalEmail str 256
    principalName str 256
    schoolNumber str 256
"""

_UNIT = """
    deletedDateTime datetime ro
    description str 1024
    displayName str 256 need keep
    id str ro
    isMemberManagementRestricted bool new
    membershipRule str 3072
    membershipRuleProcessingState str
    membershipType str
    visibility str new
"""

_USER_EXTENSIONS = """
    ObjectType AnchorId SyncSource SyncSource_SchoolId SyncSource_StudentId StudentNumber StudentStatus StateId
    Grade GraduationYear Email MiddleName Gender DateOfBirth EnglishLanguageLearnersStatus FederalRace
    MailingAddress MailingCity MailingState MailingZip MailingCountry MailingLatitude MailingLongitude
    ResidentAddress ResidentCity ResidentState ResidentZip ResidentCountry ResidentLatitude ResidentLongitude
    SyncSource_TeacherId TeacherNumber TeacherStatus Title TeacherQualification
"""
_GROUP_EXTENSIONS = """
    ObjectType AnchorId SyncSource SyncSource_SchoolId SyncSource_SectionId SectionNumber SectionName
    SyncSource_CourseId CourseName CourseNumber CourseDescription CourseSubject TermId TermName TermStartDate
    TermEndDate Period Status
"""
_UNIT_EXTENSIONS = """
    ObjectType AnchorId SyncSource SyncSource_SchoolId SchoolNumber SchoolNationalCenterForEducationStatisticsId
    StateId LowestGrade HighestGrade SchoolZone SchoolPrincipalSyncSourceId SchoolPrincipalName
    SchoolPrincipalEmail Address City State Zip Country Phone
"""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


USER = Resource(
    "User",
    "microsoft.graph.user",
    "users",
    _table(_PERSON.strip() + "\n" + _USER.strip()),
    ("businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation",
     "preferredLanguage", "surname", "userPrincipalName", "id"),
    extensions=_names(_USER_EXTENSIONS),
    filterable=_names(
        "accountEnabled ageGroup assignedLicenses assignedPlans city companyName country createdDateTime department "
        "displayName employeeId employeeType givenName id identities jobTitle mail mailNickname mobilePhone "
        "officeLocation onPremisesImmutableId onPremisesLastSyncDateTime onPremisesSamAccountName "
        "onPremisesSecurityIdentifier onPremisesSyncEnabled otherMails postalCode preferredLanguage proxyAddresses "
        "state streetAddress surname usageLocation userPrincipalName userType businessPhones faxNumber"
    ),
    links=frozenset({"manager", "memberOf"}),
)  # fmt: skip
GROUP = Resource(
    "Group",
    "microsoft.graph.group",
    "groups",
    _table(_GROUP),
    ("id", "deletedDateTime", "classification", "createdDateTime", "creationOptions", "description", "displayName",
     "expirationDateTime", "groupTypes", "isAssignableToRole", "mail", "mailEnabled", "mailNickname", "membershipRule",
     "membershipRuleProcessingState", "onPremisesDomainName", "onPremisesLastSyncDateTime", "onPremisesNetBiosName",
     "onPremisesSamAccountName", "onPremisesSecurityIdentifier", "onPremisesSyncEnabled", "preferredDataLocation",
     "preferredLanguage", "proxyAddresses", "renewedDateTime", "resourceBehaviorOptions",
     "resourceProvisioningOptions", "securityEnabled", "securityIdentifier", "theme", "uniqueName", "visibility",
     "onPremisesProvisioningErrors", "serviceProvisioningErrors"),
    extensions=_names(_GROUP_EXTENSIONS),
    filterable=_names(
        "assignedLicenses classification createdDateTime description displayName expirationDateTime groupTypes id "
        "isAssignableToRole mail mailEnabled mailNickname membershipRule membershipRuleProcessingState "
        "onPremisesLastSyncDateTime onPremisesSamAccountName onPremisesSecurityIdentifier onPremisesSyncEnabled "
        "preferredLanguage proxyAddresses renewedDateTime resourceProvisioningOptions securityEnabled uniqueName "
        "hasMembersWithLicenseErrors"
    ),
    links=frozenset({"members", "owners"}),
)  # fmt: skip
UNIT = Resource(
    "AdministrativeUnit",
    "microsoft.graph.administrativeUnit",
    "directory/administrativeUnits",
    _table(_UNIT),
    tuple(_table(_UNIT)),
    extensions=_names(_UNIT_EXTENSIONS),
    filterable=_names("id displayName description visibility"),
    links=frozenset({"members"}),
)
EDUCATION_USER = Resource(
    "educationUser",
    "microsoft.graph.educationUser",
    "education/users",
    _table(_PERSON.strip() + "\n" + _EDUCATION_USER.strip()),
    ("id", "primaryRole", "middleName", "externalSource", "externalSourceDetail", "residenceAddress", "mailingAddress",
     "student", "teacher", "createdBy", "accountEnabled", "assignedLicenses", "assignedPlans", "businessPhones",
     "department", "displayName", "givenName", "mail", "mailNickname", "mobilePhone", "officeLocation",
     "onPremisesInfo", "passwordPolicies", "preferredLanguage", "provisionedPlans", "refreshTokensValidFromDateTime",
     "relatedContacts", "showInAddressList", "surname", "usageLocation", "userPrincipalName", "userType"),
    education=_names(
        "createdBy externalSource externalSourceDetail mailingAddress middleName primaryRole relatedContacts "
        "residenceAddress student teacher"
    ),
    links=frozenset({"classes", "taughtClasses", "schools", "user"}),
)  # fmt: skip
EDUCATION_CLASS = Resource(
    "educationClass",
    "microsoft.graph.educationClass",
    "education/classes",
    _table(_CLASS),
    ("id", "displayName", "mailNickname", "description", "createdBy", "classCode", "externalName", "externalId",
     "externalSource", "externalSourceDetail", "grade", "course", "term"),
    education=_names(
        "classCode course createdBy externalId externalName externalSource externalSourceDetail grade term"
    ),
    links=frozenset({"group", "members", "teachers", "schools"}),
)  # fmt: skip
SCHOOL = Resource(
    "educationSchool",
    "microsoft.graph.educationSchool",
    "education/schools",
    _table(_SCHOOL),
    tuple(_table(_SCHOOL)),
    education=frozenset(_table(_SCHOOL)) - {"displayName", "description", "id"},
    links=frozenset({"administrativeUnit", "classes", "users"}),
)
