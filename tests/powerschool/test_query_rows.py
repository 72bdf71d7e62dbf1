"""A spooled answer is cut between its rows and nowhere else, whatever stands in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sds_daemon.errors import StateError
from sds_daemon.sources.powerschool import rows as module
from sds_daemon.sources.powerschool.normalise import Malformed
from sds_daemon.sources.powerschool.queries import CourseRecord
from sds_daemon.sources.powerschool.rows import read_rows
from sds_daemon.sources.powerschool.spool import Spool

TREACHEROUS = st.lists(
    st.sampled_from(['},{"', "},{", "},{_", '"record":[{', "]", "}]", '"', "\\", "é", "x", '"id":', " "]), max_size=6
).map("".join)
RECORDS = st.lists(st.fixed_dictionaries({"id": st.integers(1, 10**9).map(str), "name": TREACHEROUS}), max_size=30)


def spooled(*documents: bytes, piece: int = 7) -> Spool:
    spool = Spool()
    for document in documents:
        for start in range(0, len(document), piece):
            spool.write(document[start : start + piece])
        spool.end_document()
    return spool


def answer(rows: list[dict[str, Any]], **style: Any) -> bytes:
    record = [{"_name": "COURSES", "_id": 1, **row} for row in rows]
    document = {"name": "courses", **({"record": record} if rows else {}), "@extensions": ""}
    return json.dumps(document, **{"separators": (",", ":"), **style}).encode()


def read(spool: Spool) -> list[dict[str, str]]:
    return [{"id": row.id, "name": row.name} for rows in read_rows(spool, CourseRecord) for row in rows]


@given(RECORDS, st.integers(1, 400), st.booleans())
def test_rows_come_out_as_they_went_in(rows: list[dict[str, str]], step: int, ascii_only: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SLICE", step)
        spool = spooled(answer(rows, ensure_ascii=ascii_only))
        assert read(spool) == rows
        assert spool.rows == len(rows)
        assert spool.ended


@given(RECORDS, RECORDS)
def test_documents_follow_one_another(first: list[dict[str, str]], second: list[dict[str, str]]) -> None:
    assert read(spooled(answer(first), answer(second))) == first + second


def test_a_spaced_document_and_a_bare_row_are_read_as_well() -> None:
    rows = [{"id": "1", "name": "A"}, {"id": "2", "name": "B"}]
    assert read(spooled(answer(rows, indent=1, separators=(", ", ": ")))) == rows
    assert read(spooled(b'{"record":{"id":"7","name":"C"}}')) == [{"id": "7", "name": "C"}]
    assert read(spooled(b"{}")) == read(spooled(b'{"@extensions":"","record":[]}')) == []


def test_one_odd_value_costs_no_other_row() -> None:
    body = (
        b'{"record":[{"id":"1","name":"A"},{"id":2,"name":null},{"id":"3","name":["x"]},{"id":"4","name":"\xff"},"x"]}'
    )
    good, second, third, fourth, last = read(spooled(body))
    assert (good, second) == ({"id": "1", "name": "A"}, {"id": "2", "name": ""})
    assert third["id"] == "3" and not third["name"].isprintable()
    assert fourth["id"] == "4" and not fourth["name"].isprintable()
    assert not last["id"].isprintable()


@pytest.mark.parametrize("cut", [1, 2, 20, 60])
def test_a_document_that_ends_too_early_is_none(cut: int) -> None:
    spool = spooled(answer([{"id": "1", "name": "A"}, {"id": "2", "name": "B"}])[:-cut])
    with pytest.raises(Malformed):
        read(spool)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"record":[{', b"<html></html>"])
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        read(spooled(body))


def test_a_full_disk_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w+b", buffering=8)  # noqa: SIM115 - the spool closes it
    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: full)
    spool = Spool()
    with pytest.raises(StateError, match=r"cannot be kept in .*TMPDIR"):
        spool.write(b"x" * 100)
    spool.close()


def test_the_digest_is_that_of_the_bytes_whatever_the_pieces() -> None:
    body = answer([{"id": str(number), "name": "x"} for number in range(50)])
    one, other = spooled(body, piece=3), spooled(body, piece=1000)
    assert (one.digest, one.rows) == (other.digest, other.rows)
    assert spooled(body[:-1] + b" }").digest != one.digest
