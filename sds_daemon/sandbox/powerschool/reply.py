"""Answers of `/ws/v1` in both forms, and the error bodies."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sds_daemon.sandbox.asgi import Request, Response
from sds_daemon.sandbox.powerschool import xmlish

JSON_TYPE: Final = "application/json;charset=UTF-8"
XML_TYPE: Final = "application/xml;charset=UTF-8"
HTML_TYPE: Final = "text/html;charset=UTF-8"
NO_ACCESS_LEVEL: Final = "Plugin is missing required accessLevelV1Api READ permission"
NO_WRITE_LEVEL: Final = "Plugin is missing required accessLevelV1Api FULL permission"
MAINTENANCE_PAGE: Final = (
    b"<!DOCTYPE html><html><head><title>PowerSchool page unavailable</title></head>"
    b"<body><h1>PowerSchool page unavailable</h1><p>The page you requested is not available.</p></body></html>"
)


class V1Error(Exception):
    """Ends a `/ws/v1` request with this status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def wants_json(request: Request) -> bool:
    """XML is what the server sends unless JSON is asked for; letter case does not matter."""
    return "application/json" in request.headers.get("accept", "").lower()


def tree(request: Request, root: str, value: Any, status: int = 200) -> Response:
    """`value` below its root element, as JSON or XML according to the request."""
    if wants_json(request):
        return Response(status, {"content-type": JSON_TYPE}, msgspec.json.encode({root: xmlish.to_json(value)}))
    return Response(status, {"content-type": XML_TYPE}, xmlish.to_xml(root, value))


def error(request: Request, status: int, message: str) -> Response:
    """The v1 error envelope."""
    return tree(request, "errorMessage", {"message": message}, status)


def unauthorized(request: Request, style: str) -> Response:
    """401 for a missing, wrong or expired bearer, in the form chosen by the setting `unauthorized_body`."""
    challenge = {"www-authenticate": 'Bearer error="invalid_token"'}
    if style == "json":
        response = error(request, 401, "The access token is missing, invalid or has expired")
        response.headers.update(challenge)
        return response
    body = b"<html><body><h1>HTTP Status 401</h1></body></html>" if style == "html" else b""
    return Response(401, {"content-type": HTML_TYPE, **challenge}, body)


def maintenance(request: Request) -> Response:
    """What hosted servers answer while they are down: a redirect to a page of the vendor's, HTML and all."""
    host = request.headers.get("host", "localhost").split(":")[0]
    location = f"https://message.powerschool.com/?server={host}"
    return Response(302, {"location": location, "content-type": HTML_TYPE}, MAINTENANCE_PAGE)


def not_found_page() -> Response:
    """404 outside the web services: the web server's own page."""
    return Response(404, {"content-type": HTML_TYPE}, b"<html><body><h1>404 Not Found</h1></body></html>")
