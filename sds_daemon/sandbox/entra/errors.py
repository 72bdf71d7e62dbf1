"""Graph's error answers: status, code, message, details, with the texts clients tell them apart by."""

from __future__ import annotations

from typing import Any

NOT_FOUND = "Resource '{}' does not exist or one of its queried reference-property objects are not present."
EXISTS = "Another object with the same value for property {} already exists."
CONFLICT = "A conflicting object with one or more of the specified property values is present in the directory."
ADDED = "One or more added object references already exist for the following modified properties: '{}'."
REMOVED = "One or more removed object references do not exist for the following modified properties: '{}'."
LAST_OWNER = "The group must have at least one owner, hence this owner cannot be removed."
CONCURRENT = "Error due to concurrent requests being made to the tenant. Please wait briefly and retry."
WEAK = (
    "The specified password does not comply with password complexity requirements. Please provide a different password."
)
BAD_DOMAIN = (
    "The domain portion of the userPrincipalName property is invalid. "
    "You must use one of the verified domain names in your organization."
)
MASTERED = (
    "Unable to update the specified properties for on-premises mastered Directory Sync objects or objects "
    "currently undergoing migration."
)
QUOTA = "Unable to perform operation as '{}' would exceed the maximum quota count '{}' for forward-link '{}'."
OBJECT_QUOTA = (
    "The directory object quota limit for the Tenant has been exceeded. "
    "Please ask your administrator to increase the quota limit or delete objects to reduce the used quota."
)
FORBIDDEN = "Insufficient privileges to complete the operation."
NO_ROLES = "Required roles claim values are not provided"


class GraphError(Exception):
    """An answer of 4xx or 5xx; raised by operations, turned into a response by the application."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
        inner: dict[str, Any] | None = None,
    ) -> None:
        """`details` items are {code, message, target}; `inner` is merged into innerError."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = headers or {}
        self.inner = inner

    def body(self, date: str, request_id: str, client_request_id: str) -> dict[str, Any]:
        """The JSON body of section "errors" of the Graph docs."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.details:
            error["details"] = self.details
        error["innerError"] = {
            **(self.inner or {}),
            "date": date,
            "request-id": request_id,
            "client-request-id": client_request_id,
        }
        return {"error": error}


def bad_request(message: str, details: list[dict[str, str]] | None = None) -> GraphError:
    """400 Request_BadRequest: the directory's refusal of a value or a relation."""
    return GraphError(400, "Request_BadRequest", message, details)


def odata(message: str) -> GraphError:
    """400 BadRequest: the OData layer could not make sense of the request."""
    return GraphError(400, "BadRequest", message)


def unsupported(message: str) -> GraphError:
    """400 Request_UnsupportedQuery."""
    return GraphError(400, "Request_UnsupportedQuery", message)


def not_found(object_id: str) -> GraphError:
    """404 naming the missing object: unknown, deleted, or too young to be seen yet."""
    return GraphError(404, "Request_ResourceNotFound", NOT_FOUND.format(object_id))


def segment_not_found(segment: str) -> GraphError:
    """400 for a path that Graph does not have."""
    return odata(f"Resource not found for the segment '{segment}'.")


def method_not_allowed() -> GraphError:
    """405 for a path that exists, but not with this method."""
    return GraphError(405, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")


def taken(prop: str) -> GraphError:
    """400 ObjectConflict: a value that must be unique is held by another object."""
    message = EXISTS.format(prop)
    details = [
        {"code": "ObjectConflict", "message": message, "target": prop},
        {"code": "ConflictingObjects", "message": message, "target": prop},
    ]
    return bad_request(message, details)


def invalid_value(prop: str, resource: str, code: str = "InvalidValue") -> GraphError:
    """400 for a value of the right type that the directory refuses; `resource` is "User", "Group" ..."""
    message = f"Invalid value specified for property '{prop}' of resource '{resource}'."
    return bad_request(message, [{"code": code, "message": message, "target": prop}])


def forward_link_quota(wanted: int, limit: int, link: str) -> GraphError:
    """403 Directory_QuotaExceeded for too many owners or members."""
    return GraphError(403, "Directory_QuotaExceeded", QUOTA.format(wanted, limit, link))


def concurrent() -> GraphError:
    """409: another write to the same object is under way."""
    return GraphError(409, "Directory_ConcurrencyViolation", CONCURRENT)


def forbidden(education: bool = False) -> GraphError:
    """403: the token lacks the application permission."""
    return GraphError(403, "Authorization_RequestDenied", NO_ROLES if education else FORBIDDEN)


def unauthorized(message: str) -> GraphError:
    """401 InvalidAuthenticationToken."""
    return GraphError(
        401,
        "InvalidAuthenticationToken",
        message,
        headers={"www-authenticate": 'Bearer realm="", error="invalid_token"'},
    )
