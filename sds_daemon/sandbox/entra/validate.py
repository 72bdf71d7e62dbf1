"""Holds request bodies against a resource: names, types, lengths, read-only and required properties, values.

Order as Graph's layers have it: the OData layer refuses unknown names and wrong types (code BadRequest), the directory
refuses values (code Request_BadRequest).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sds_daemon.sandbox.entra.errors import BAD_DOMAIN, WEAK, GraphError, bad_request, invalid_value, odata
from sds_daemon.sandbox.entra.query import unknown_extension
from sds_daemon.sandbox.entra.schema import COMPLEX, EDUCATION_PREFIX, ENUMS, Prop, Resource

_EDM = {"str": "Edm.String", "bool": "Edm.Boolean", "int": "Edm.Int32", "date": "Edm.Date",
        "datetime": "Edm.DateTimeOffset"}  # fmt: skip
_DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")
_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,7})?)?(Z|[+-]\d\d:\d\d)$")
_UPN = re.compile(r"(?P<local>[A-Za-z0-9'.\-_!#^~]{1,64})@(?P<domain>[A-Za-z0-9.\-]{1,48})$")
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+$")
_USER_NICKNAME = re.compile(r"[^@()\\\[\]\";:<>, ]+$")
_GROUP_NICKNAME = re.compile(r"[^@()\\\[\]\";:.<>, ]+$")
_BINDABLE = {"microsoft.graph.group": ("members", "owners"), "microsoft.graph.user": ("manager",)}
_PASSWORD_CLASSES = ("[a-z]", "[A-Z]", "[0-9]", "[^A-Za-z0-9]")
_CHOICES = {
    "ageGroup": ("Minor", "NotAdult", "Adult"),
    "consentProvidedForMinor": ("Granted", "Denied", "NotRequired"),
    "userType": ("Member", "Guest"),
}
_COUNTRY_CODES = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY
    BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM
    FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IS IT
    JE JM JO JP KE KG KH KI KM KN KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN
    MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS
    PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SZ TC TD TF TG TH TJ TK
    TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
"""
COUNTRIES = frozenset(_COUNTRY_CODES.split())


def body(resource: Resource, data: object, *, create: bool, extensions: bool) -> dict[str, Any]:
    """The properties of a create or update, checked; annotations such as @odata.type and binds are left out.

    `extensions` says that the tenant knows the education extension attributes.
    """
    if not isinstance(data, Mapping):
        raise odata("Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of "
                    "valid JSON format.")  # fmt: skip
    checked = {}
    for name, value in data.items():
        if "@odata." in name:
            _annotation(resource, name)
            continue
        prop = resource.props.get(name)
        if prop is None:
            checked[name] = _extension(resource, name, value, extensions)
        else:
            checked[name] = typed(prop, value, resource.type)
    for name, value in checked.items():
        if name in resource.props:
            _allowed(resource, resource.props[name], value, create)
    if create:
        _complete(resource, checked)
    return checked


def _annotation(resource: Resource, name: str) -> None:
    target, _, annotation = name.partition("@odata.")
    if annotation != "bind":
        return
    if target not in resource.links:
        raise unknown_property(resource, target)
    if target not in _BINDABLE.get(resource.type, ()):
        raise bad_request(f"'{name}' is not supported for resource '{resource.label}'.")


def unknown_property(resource: Resource, name: str) -> GraphError:
    """The OData 400 for a name the type does not have."""
    return odata(
        f"The property '{name}' does not exist on type '{resource.type}'. Make sure to only use property names that "
        "are defined by the type."
    )


def _extension(resource: Resource, name: str, value: Any, extensions: bool) -> Any:
    if not resource.extensions or not name.startswith("extension_"):
        raise unknown_property(resource, name)
    if not extensions or name.removeprefix(EDUCATION_PREFIX) not in resource.extensions:
        raise unknown_extension(name)
    if value is not None and not isinstance(value, str):
        raise odata(f"Cannot convert the literal '{value}' to the expected type 'Edm.String'.")
    if value == "" or (value is not None and len(value) > 256):
        raise invalid_value(name, resource.label)
    return value


def typed(prop: Prop, value: Any, owner: str) -> Any:
    """The value if its JSON type is right (enum members in their metadata spelling); raises the OData 400 otherwise."""
    kind = prop.type
    if value is None or kind == "any":
        return value
    if kind.endswith("[]"):
        if not isinstance(value, list):
            raise _not_a_collection(prop.name)
        item = Prop(prop.name, kind[:-2], prop.limit)
        return [typed(item, element, owner) for element in value]
    if kind == "strs":
        if not isinstance(value, list):
            raise _not_a_collection(prop.name)
        if not all(isinstance(element, str) for element in value):
            raise odata("Cannot convert a primitive value to the expected type 'Edm.String'.")
        return value
    if kind in COMPLEX:
        return _complex(prop, value)
    if kind in ENUMS:
        return _enum(kind, value)
    return _primitive(kind, value)


def _not_a_collection(name: str) -> GraphError:
    return odata(
        f"A 'PrimitiveValue' node was found when reading the collection property '{name}'; a 'StartArray' node was "
        "expected."
    )


def _complex(prop: Prop, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise odata(f"A 'PrimitiveValue' node was found for property '{prop.name}'; a 'StartObject' node was expected.")
    spec = COMPLEX[prop.type]
    checked = {}
    for name, item in value.items():
        if "@odata." in name:
            continue
        if name not in spec:
            raise odata(
                f"The property '{name}' does not exist on type 'microsoft.graph.{prop.type}'. Make sure to only use "
                "property names that are defined by the type."
            )
        checked[name] = typed(spec[name], item, prop.type)
        if isinstance(item, str) and spec[name].limit is not None and len(item) > (spec[name].limit or 0):
            raise invalid_value(name, prop.type, "InvalidLength")
    return checked


def _enum(kind: str, value: Any) -> str:
    if isinstance(value, str):
        for member in ENUMS[kind]:
            if member.lower() == value.lower() and member != "unknownFutureValue":
                return member
    raise odata(f"Requested value '{value}' was not found.")


_RIGHT: dict[str, Callable[[Any], bool]] = {
    "str": lambda item: isinstance(item, str),
    "bool": lambda item: isinstance(item, bool),
    "int": lambda item: isinstance(item, int) and not isinstance(item, bool),
    "date": lambda item: isinstance(item, str) and _DATE.match(item) is not None,
    "datetime": lambda item: isinstance(item, str) and _DATETIME.match(item) is not None,
}


def _primitive(kind: str, value: Any) -> Any:
    if not _RIGHT[kind](value):
        raise odata(f"Cannot convert the literal '{value}' to the expected type '{_EDM[kind]}'.")
    return value


def _allowed(resource: Resource, prop: Prop, value: Any, create: bool) -> None:
    if prop.read_only:
        raise bad_request(f"Property '{prop.name}' is read-only and cannot be set.")
    if prop.create_only and not create:
        raise bad_request(f"Property '{prop.name}' can only be set when the object is created.")
    if value is None:
        if prop.keep and not create:
            raise invalid_value(prop.name, resource.label)
        return
    if isinstance(value, str):
        if value == "":
            raise invalid_value(prop.name, resource.label)
        if prop.limit is not None and len(value) > prop.limit:
            raise invalid_value(prop.name, resource.label, "InvalidLength")


def _complete(resource: Resource, checked: Mapping[str, Any]) -> None:
    for prop in resource.props.values():
        if prop.needed and checked.get(prop.name) is None:
            if prop.name == "passwordProfile":
                raise bad_request("A password must be specified to create a new user.")
            message = f"A value is required for property '{prop.name}' of resource '{resource.label}'."
            raise bad_request(message, [{"code": "MissingValue", "message": message, "target": prop.name}])


def user_values(props: Mapping[str, Any], verified: Callable[[str], bool], label: str = "User") -> None:
    """Values of a user's properties beyond their type: UPN, alias, password, country, and the small enumerations."""
    upn = props.get("userPrincipalName")
    if upn is not None:
        _check_upn(upn, verified)
    nickname = props.get("mailNickname")
    if nickname is not None and not (_USER_NICKNAME.match(nickname) and nickname.isascii()):
        raise invalid_value("mailNickname", label)
    profile = props.get("passwordProfile")
    if profile is not None and (profile.get("password") is not None or "password" in profile):
        check_password(profile.get("password"), props.get("passwordPolicies"))
    location = props.get("usageLocation")
    if location is not None and location not in COUNTRIES:
        raise invalid_value("usageLocation", label)
    mail = props.get("mail")
    if mail is not None and not (_MAIL.match(mail) and mail.isascii()):
        raise invalid_value("mail", label)
    immutable = props.get("onPremisesImmutableId")
    if immutable is not None and re.search(r"[$_]", immutable):
        raise invalid_value("onPremisesImmutableId", label)
    if len(props.get("businessPhones") or ()) > 1:
        raise invalid_value("businessPhones", label)
    _check_choices(props, label)


def _check_choices(props: Mapping[str, Any], label: str) -> None:
    for name, choices in _CHOICES.items():
        value = props.get(name)
        if value is not None and value.lower() not in {choice.lower() for choice in choices}:
            raise invalid_value(name, label)
    policies = props.get("passwordPolicies")
    if policies is not None:
        words = {word.strip().lower() for word in policies.split(",")}
        if not words <= {"none", "disablepasswordexpiration", "disablestrongpassword"}:
            raise invalid_value("passwordPolicies", label)


def _check_upn(upn: str, verified: Callable[[str], bool]) -> None:
    found = _UPN.match(upn)
    if found is None or found["local"].endswith(".") or found["local"].startswith("."):
        message = "Property userPrincipalName is invalid."
        raise bad_request(message, [{"code": "InvalidValue", "message": message, "target": "userPrincipalName"}])
    if not verified(found["domain"]):
        raise bad_request(BAD_DOMAIN, [{"code": "InvalidValue", "message": BAD_DOMAIN, "target": "userPrincipalName"}])


def check_password(password: str | None, policies: str | None = None) -> None:
    """8 to 256 characters, ASCII, three of the four classes (unless DisableStrongPassword is among the policies)."""
    weak = "disablestrongpassword" in (policies or "").lower()
    good = password is not None and 8 <= len(password) <= 256 and password.isascii()
    if good and not weak:
        good = sum(re.search(pattern, password or "") is not None for pattern in _PASSWORD_CLASSES) >= 3
    if not good:
        raise bad_request(WEAK, [{"code": "InvalidValue", "message": WEAK, "target": "passwordProfile.password"}])


def group_nickname(nickname: str, label: str = "Group") -> None:
    """A group's alias: ASCII without the characters that mail systems refuse."""
    if not (_GROUP_NICKNAME.match(nickname) and nickname.isascii()):
        raise invalid_value("mailNickname", label)
