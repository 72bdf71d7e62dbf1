"""The cassettes as a collection: how many of each kind, and that nothing secret is in any of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import yaml

FOLDER = Path(__file__).resolve().parents[2] / "cassettes"
KINDS = ("composed", "recorded")
ALL = sorted(FOLDER.rglob("*.yaml"))

SECRET = re.compile(r"(access|refresh|id)_token|password$|secret|assertion|authorization|cookie", re.IGNORECASE)
FAKE = {"a-token", "not-a-secret", "not-a-password"}
UNSIGNED = re.compile(r"e30\.[\w-]+\.not-a-signature")
SIGNED = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+|-----BEGIN|Bearer [\w.-]+")


def of_kind(kind: str) -> list[Path]:
    return [path for path in ALL if path.relative_to(FOLDER).parts[0] == kind]


def test_both_kinds_are_counted_apart(record_property: Any) -> None:
    counts = {kind: len(of_kind(kind)) for kind in KINDS}
    exchanges = {kind: sum(len(exchanges_in(path)) for path in of_kind(kind)) for kind in KINDS}
    for kind in KINDS:
        record_property(f"{kind} cassettes", counts[kind])
        print(f"{kind}: {counts[kind]} cassettes, {exchanges[kind]} exchanges")
    assert len(ALL) == sum(counts.values()), "every cassette is of one kind"
    assert counts["composed"] >= 19
    assert counts["recorded"] >= 2
    for kind in KINDS:
        assert {path.parent.name for path in of_kind(kind)} == {"entra", "powerschool"}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_a_cassette_says_of_which_kind_it_is(path: Path) -> None:
    composed = path in of_kind("composed")
    assert path.read_text(encoding="utf-8").startswith("# Composed, not recorded. ") is composed


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_no_cassette_holds_a_secret(path: Path) -> None:
    assert SIGNED.search(path.read_text(encoding="utf-8")) is None
    values = {str(value) for exchange in exchanges_in(path) for value in secrets(exchange)}
    assert {value for value in values if value not in FAKE and not UNSIGNED.fullmatch(value)} == set()


def test_the_search_for_secrets_finds_them() -> None:
    batch = {"requests": [{"body": {"passwordProfile": {"password": "Hunter-22"}}}]}
    exchange = {
        "request": {"headers": {"Authorization": ["x"]}, "body": json.dumps(batch)},
        "response": {"body": {"string": b'{"access_token": "abc"}'}},
    }
    assert set(secrets(exchange)) == {"x", "Hunter-22", "abc"}
    assert set(secrets({"body": "client_id=1&client_secret=s"})) == {"s"}
    assert SIGNED.search("eyJhbGciOiJub25lIn0.eyJyb2xlcyI6W119.c2ln")


def exchanges_in(path: Path) -> list[dict[str, Any]]:
    """The exchanges of a cassette."""
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["interactions"]
    return found


def secrets(value: Any) -> Iterator[str]:
    """Everything under a key that names a secret; JSON and forms inside text are looked into."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if SECRET.search(str(key)) and not isinstance(inner, dict | None):
                yield from (str(entry) for entry in (inner if isinstance(inner, list) else [inner]))
            else:
                yield from secrets(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from secrets(inner)
    elif isinstance(value, str | bytes):
        yield from secrets(unpacked(value.decode() if isinstance(value, bytes) else value))


def unpacked(text: str) -> Any:
    """What text holds, if it holds anything."""
    if text.startswith(("{", "[")):
        try:
            return json.loads(text)
        except ValueError:
            return None
    return dict(parse_qsl(text)) if "=" in text and "://" not in text else None
