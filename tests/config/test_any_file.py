"""Whatever a file holds, it is either taken or refused in words."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import tomlkit
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sds_daemon.config.environment import TABLES
from sds_daemon.config.findings import fields, subtable
from sds_daemon.config.load import load
from sds_daemon.errors import ConfigurationError

PROFILE = TABLES["profiles"]
KEYS = sorted({key for model in TABLES.values() for key in fields(model)} | {"name", "unknown", "a-b"})
INNER = sorted({key for table in fields(PROFILE) if (inner := subtable(PROFILE, table)) for key in fields(inner)})

text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
telling = st.sampled_from(
    [
        "all",
        "current",
        "match",
        "create",
        "powerschool",
        "custom",
        "https://host",
        "http://",
        "//[",
        "{sis_id}",
        "{",
        "contoso.edu",
        "10m",
        "file:x",
        "credential:",
        "username",
        "number",
        "secondary_email",
        "mail",
        "mailNickname",
        "US",
        "one",
        "/nowhere",
    ]
)
scalar = st.one_of(
    telling, st.just(""), text, st.integers(-5, 5000), st.booleans(), st.floats(allow_nan=False, width=32)
)
value = st.one_of(scalar, st.lists(scalar, max_size=3), st.dictionaries(st.sampled_from(INNER), scalar, max_size=4))
table = st.dictionaries(st.sampled_from(KEYS), value, max_size=10)
named = st.dictionaries(st.sampled_from(["one", "two", "a b", "One"]), st.one_of(table, table, scalar), max_size=3)
document = st.fixed_dictionaries(
    {},
    optional={
        "daemon": st.one_of(table, scalar),
        "sources": st.one_of(named, named, scalar),
        "tenants": st.one_of(named, named, scalar),
        "profiles": st.one_of(named, named, scalar),
        "other": value,
    },
)
environment = st.dictionaries(
    st.builds(
        lambda *parts: "SDS_DAEMON_" + "__".join(parts).upper(),
        st.sampled_from(["daemon", "sources", "tenants", "profiles", "else"]),
        st.sampled_from(["one", "two", "state_dir", ""]),
        st.sampled_from([*KEYS, *INNER, "students__suffix", "students__students__x", ""]),
    ),
    st.one_of(telling, st.sampled_from(["5", "true", "[1]", "{a = 1}", '["x"]', "= 3\nb = 4", "1979-05-27"])),
    max_size=3,
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """The document, by a name that is shorter than its description."""
    found: dict[str, Any] = draw(document)
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), environment)
def test_is_taken_or_refused_in_words(tables: dict[str, Any], variables: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.toml"
        path.write_text(tomlkit.dumps(tables))
        try:
            load(path, variables)
        except ConfigurationError as error:
            lines = [line for line in str(error).splitlines() if not line.endswith("problems in the configuration:")]
            assert lines
            assert all(" — " in line for line in lines)
            assert len(lines) == len(set(lines))
