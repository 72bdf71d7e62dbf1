"""Log lines: their form in a terminal and in the journal, and what never gets into them."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from sds_daemon.logs import configure, is_journal, redact


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logging as it was found."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logger.remove()
    logger.add(sys.stderr)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def written(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_a_terminal_line_has_time_level_sentence_and_fields() -> None:
    out = io.StringIO()
    configure("INFO", out)
    logger.bind(action="read", zeta=1, run=7, profile="north").info("read {} schools", 3)
    (line,) = written(out)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO    read 3 schools profile=north run=7 action=read zeta=1", line
    )


def test_a_command_that_prints_its_error_does_not_log_it_as_well() -> None:
    out = io.StringIO()
    configure("INFO", out, errors_shown=True)
    run = logger.bind(action="run_end")
    run.error("run 7 failed: no answer")
    run.info("run 8 ended: success")
    logger.bind(action="reconcile").error("another fault")
    assert [word for word in ("failed", "run 8 ended", "another fault") if word in out.getvalue()] == [
        "run 8 ended",
        "another fault",
    ]


@pytest.mark.parametrize(
    ("level", "prefix"),
    [("DEBUG", "<7>"), ("INFO", "<6>"), ("WARNING", "<4>"), ("ERROR", "<3>"), ("CRITICAL", "<2>")],
)
def test_a_journal_line_has_a_syslog_level_and_no_time(level: str, prefix: str) -> None:
    out = io.StringIO()
    configure("DEBUG", out, journal=True)
    logger.bind(profile="north").log(level, "said")
    assert written(out) == [f"{prefix}said profile=north"]


def test_levels_below_are_left_out_and_setting_up_again_replaces() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure("DEBUG", first)
    configure("WARNING", second)
    logger.info("quiet")
    logger.warning("loud")
    assert written(first) == []
    assert [line.split(maxsplit=3)[3] for line in written(second)] == ["loud"]


def test_every_line_of_a_traceback_has_its_level_and_no_values() -> None:
    out = io.StringIO()
    configure("INFO", out, journal=True)
    token = "very-private-value"
    try:
        {}[len(token)]
    except KeyError:
        logger.opt(exception=True).error("it broke")
    lines = written(out)
    assert lines[0] == "<3>it broke"
    assert len(lines) > 3 and all(line.startswith("<3>") for line in lines)
    assert any("KeyError" in line for line in lines)
    assert token not in out.getvalue(), "values of variables are not shown"


@pytest.mark.parametrize("journal", [False, True])
def test_foreign_text_cannot_start_a_line_of_its_own(journal: bool) -> None:
    out = io.StringIO()
    configure("INFO", out, journal=journal)
    logger.bind(profile="a\n<0>forged").info("from the server: {}", "x\n<0>forged\r\x1b[31m\u2028")
    assert len(written(out)) == 1
    assert "\x1b" not in out.getvalue()
    assert r"x\n<0>forged\r\x1b[31m\u2028" in out.getvalue()


def test_braces_and_markup_in_foreign_text_do_no_harm() -> None:
    out = io.StringIO()
    configure("INFO", out, journal=True)
    logger.info("got {}", "{profile} <red> {0!r}")
    assert written(out) == ["<6>got {profile} <red> {0!r}"]


SECRET = "Zx81-abcDEF_0123456789"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"authorization: bearer {SECRET}",
        f"Authorization: Basic {SECRET.replace('-', '').replace('_', '')}==",
        f"grant_type=client_credentials&client_secret={SECRET}&scope=x",
        f'{{"client_secret": "{SECRET} with blanks", "n": 1}}',
        f"{{'password': '{SECRET}'}}",
        f'"{{\\"access_token\\": \\"{SECRET}\\"}}"',
        f"password={SECRET}",
        f"Password: {SECRET}",
        f"clientSecret={SECRET}",
        f"client_assertion={SECRET}",
        f"eyJhbGciOiJSUzI1NiJ9.{SECRET}.{SECRET}",
        f"refresh_token={SECRET}, id_token={SECRET}",
    ],
)
def test_secrets_are_struck_out(text: str) -> None:
    out = io.StringIO()
    configure("INFO", out, journal=True)
    logger.bind(sent=text).info("{}", text)
    assert "Zx81" not in out.getvalue()
    assert "0123456789" not in out.getvalue()
    assert "(hidden)" in out.getvalue()


def test_secrets_in_a_traceback_are_struck_out() -> None:
    out = io.StringIO()
    configure("INFO", out)
    try:
        raise ValueError(f"refused: client_secret={SECRET}")
    except ValueError:
        logger.opt(exception=True).error("it broke")
    assert "Zx81" not in out.getvalue()
    assert "refused: client_secret=(hidden)" in out.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "the password file /var/lib/sds-daemon/passwords-north.csv cannot be written",
        "read 3 schools, 12 sections in 40 calls",
        "the secret credential:powerschool-secret cannot be read",
        "run 3 of profile bearer begins",
    ],
)
def test_ordinary_sentences_are_left_alone(text: str) -> None:
    assert redact(text) == text


def test_libraries_are_heard_from_warnings_on() -> None:
    out = io.StringIO()
    configure("DEBUG", out, journal=True)
    logging.getLogger("httpx").info("HTTP Request: GET https://example.org")
    logging.getLogger("azure.core").warning("token refused: %s", f"client_secret={SECRET}")
    try:
        raise RuntimeError("inner")
    except RuntimeError:
        logging.getLogger("apscheduler.executors.default").exception("Job raised an exception")
    lines = written(out)
    assert lines[0] == "<4>token refused: client_secret=(hidden) action=azure"
    assert lines[1] == "<3>Job raised an exception action=apscheduler"
    assert any("RuntimeError: inner" in line for line in lines)


def test_levels_of_libraries_own_making_are_taken_over() -> None:
    out = io.StringIO()
    configure("DEBUG", out, journal=True)
    logging.getLogger("odd").log(35, "between")
    assert written(out) == ["<4>between action=odd"]


def test_the_journal_is_known_by_its_device_and_inode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "journal").open("w") as journal, (tmp_path / "file").open("w") as other:
        found = (tmp_path / "journal").stat()
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert is_journal(journal)
        assert not is_journal(other), "a redirected stream keeps its times"
        assert not is_journal(io.StringIO())
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not is_journal(journal)
