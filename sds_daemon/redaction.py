"""The last defence against a secret in a log line, an error message or a traceback: what looks like one is struck out.

Every secret and token this process has used is struck out wherever it turns up, whatever it looks like.
"""

from __future__ import annotations

import re
from collections import OrderedDict

HIDDEN = "(hidden)"
SHORTEST = 8
"""Characters; a shorter secret would strike out ordinary words."""
MOST = 64
"""Values kept, the latest used: tokens are replaced every hour."""

_SECRETS = (
    re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(?i)(\bbasic\s+)[A-Za-z0-9+/=]{16,}"),
    re.compile(r"()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(
        r"""(?ix)( \b(?:client_?secret|client_?assertion|(?:access|refresh|id)_?token|password|passwd|pwd)\b
            \\?["']?\s*[=:]\s* )
            (?: \\?"[^"\\]*\\?" | '[^']*' | [^\s&,;}\]"']+ )"""
    ),
    re.compile(r"()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
)
_known: OrderedDict[str, None] = OrderedDict()


def hide(value: str) -> str:
    """Remember a secret or token, so that `redact` strikes it out from now on. Returns it."""
    if len(value) >= SHORTEST:
        _known[value] = None
        _known.move_to_end(value)
        while len(_known) > MOST:
            _known.popitem(last=False)
    return value


def redact(text: str) -> str:
    """Strike out the values given to `hide`, bearer tokens, JSON web tokens, private keys, and what follows the words
    client_secret, password and their like."""
    for value in tuple(_known):
        if value in text:
            text = text.replace(value, HIDDEN)
    for pattern in _SECRETS:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text
