"""The transliterated XML undone, whatever the server's transliteration did to it."""

from __future__ import annotations

import json
import re
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sds_daemon.sources.powerschool.normalise import (
    Malformed,
    container,
    day,
    decode,
    dig,
    flag,
    identifier,
    items,
    text,
    whole,
)

printable = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), max_size=40)
digits = st.from_regex(r"0{0,3}[0-9]{1,25}", fullmatch=True)


def transliterate(value: Any) -> Any:
    """As PowerSchool writes it: text that looks like a whole number becomes one; a list of one loses the list."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"-?[1-9][0-9]*|0", value, re.ASCII) else value
    if isinstance(value, dict):
        return {name: transliterate(member) for name, member in value.items()} or ""
    if isinstance(value, list):
        return "" if not value else transliterate(value[0]) if len(value) == 1 else [transliterate(v) for v in value]
    return value


@given(printable | digits)
def test_text_survives_the_transliteration(original: str) -> None:
    sent = json.dumps({"x": transliterate(original)}).encode()
    assert text(decode(sent)["x"]) == original.strip()


@given(st.lists(st.dictionaries(st.sampled_from(["id", "name"]), printable | digits, min_size=1), max_size=4))
def test_lists_of_any_length_come_out_as_lists(rows: list[dict[str, str]]) -> None:
    answer = decode(json.dumps({"students": {"@expansions": "a, b", "student": transliterate(rows)}}).encode())
    found = items(container(answer["students"]).get("student"))
    assert [{name: text(value) for name, value in row.items()} for row in found] == [
        {name: value.strip() for name, value in row.items()} for row in rows
    ]


@given(st.integers(min_value=0, max_value=10**25), st.sampled_from(["{}", '"{}"', "{}.0", '"{}.0"', "{}.000"]))
def test_an_id_is_one_text_however_it_is_written(number: int, form: str) -> None:
    assert identifier(decode(form.format(number).encode())) == str(number)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_value_breaks_the_normaliser(value: Any) -> None:
    decoded = decode(json.dumps(value).encode())
    for read in (text, identifier, whole, day, flag, container, lambda v: dig({"a": v}, "a", "b")):
        try:
            read(decoded)
        except Malformed as fault:
            assert "\n" not in str(fault)


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_value_or_malformed(body: bytes) -> None:
    try:
        decode(body)
    except Malformed:
        pass


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("12345678901234567890", "12345678901234567890"),
        ("1234567890123456789012345678901234567890", "1234567890123456789012345678901234567890"),
        ("12.0", "12"),
        ("12.50", "12.50"),
        ("1E5", "1E5"),
        ("1e400", "1e400"),
        ("NaN", "NaN"),
        ("Infinity", "Infinity"),
        ('"00123"', "00123"),
        ('"0.00"', "0.00"),
        ("true", "true"),
        ('"  spaced "', "spaced"),
        ('""', ""),
        ("-3", "-3"),
    ],
)
def test_tokens_keep_what_was_sent(token: str, expected: str) -> None:
    assert text(decode(b'{"x": ' + token.encode() + b"}")["x"]) == expected


def test_a_number_of_thousands_of_digits_is_refused_as_text_only() -> None:
    value = decode(b'{"bad": ' + b"9" * 6000 + b', "good": 7}')
    assert whole(value["good"]) == 7
    with pytest.raises(Malformed, match="longer than"):
        text(value["bad"])


@pytest.mark.parametrize("body", [b'{"x": "\\ud800"}', b'{"x": "a\x01b"}', b'{"x": "\xff\xfe"}', b'{"x": "a\\u0000b"}'])
def test_broken_text_costs_its_field_and_not_the_page(body: bytes) -> None:
    value = decode(body.replace(b"}", b', "y": "fine"}'))
    assert text(value["y"]) == "fine"
    with pytest.raises(Malformed, match="control characters or broken text"):
        text(value["x"])


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"x": ', b"[" * 100_000, b'{"a":' * 50_000])
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        decode(body)


@pytest.mark.parametrize(
    "value",
    ["../5", "5/x", "perhaps", "N/A", "5-6", "5_6", "0x1F", "-", "5?q=1", "5 6", "1.5", "é", "5%2f", "9" * 65],
)
def test_what_is_no_whole_number_is_no_id(value: str) -> None:
    with pytest.raises(Malformed):
        identifier(value)


def test_empty_elements_are_empty_containers() -> None:
    assert container("") == container(None) == container({}) == {}
    assert dig({"addresses": ""}, "addresses", "physical", "street") is None
    wrongs: tuple[object, ...] = ("text", 5, [], True)
    for wrong in wrongs:
        with pytest.raises(Malformed, match="where an object belongs"):
            container(wrong)


@pytest.mark.parametrize(("value", "expected"), [("2026-02-28", date(2026, 2, 28)), ("", None), (None, None)])
def test_days(value: object, expected: date | None) -> None:
    assert day(value) == expected


@pytest.mark.parametrize(
    "value", ["2026-02-30", "20260228", 20260228, "2026-02-28T00:00:00", "28/02/2026", {}, "2026-W09-1"]
)
def test_days_that_are_none(value: object) -> None:
    with pytest.raises(Malformed):
        day(value)


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("true", True), ("False", False), (None, False), ("", False)]
)
def test_flags(value: object, expected: bool) -> None:
    assert flag(value) is expected


@pytest.mark.parametrize("value", [1, "yes", [], {}])
def test_flags_that_are_none(value: object) -> None:
    with pytest.raises(Malformed):
        flag(value)


@pytest.mark.parametrize("value", [True, "12a", "1.5", "1E5", [], "٣"])
def test_whole_numbers_that_are_none(value: object) -> None:
    with pytest.raises(Malformed):
        whole(value)
