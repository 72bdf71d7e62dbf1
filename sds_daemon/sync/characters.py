"""What characters may stand in names, addresses and values, and how text is made to fit.

Lengths are counted in UTF-16 code units, as the directory counts them; a character outside the basic plane takes two.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata

UPN_LIMIT = 64
"""Before the "@". After it 48, 113 in all (Entra docs: userPrincipalName policies)."""
UPN_DOMAIN_LIMIT = 48
DISPLAY_NAME_LIMIT = 256
PERSON_NAME_LIMIT = 64
ALIAS_LIMIT = 64

_UPN_ILLEGAL = re.compile(r"[^A-Za-z0-9'.\-_!#^~]")
# Microsoft's list for display, given and family names in a directory made ready for synchronisation.
_NAME_PUNCTUATION = frozenset("?@\\+")
_ALIAS_ILLEGAL = re.compile(r"""[^\x21-\x7e]|[@()\\\[\]";:.<>,]""")
_JOINERS = frozenset("\u200c\u200d")
_NO_BASE_LETTER = str.maketrans(
    {"ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L"}
    | {"đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "ı": "i"}
)
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z' .\-]*")
_PLAIN_WORDS = re.compile(r"[A-Za-z][A-Za-z'.\-]*(?: [A-Za-z'.\-]+)*")
_MARK = "-x"
_HASH_LENGTH = 10
MARKED_ENDING = re.compile(r"-x[a-z2-7]{10}$", re.IGNORECASE)


def utf16_length(text: str) -> int:
    """Length as the directory counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, limit: int) -> str:
    """The longest beginning within `limit` code units that splits no character from its accents, blanks trimmed."""
    if utf16_length(text) <= limit:
        return text
    end = min(len(text), limit)
    while utf16_length(text[:end]) > limit:
        end -= 1
    while end > 0 and end < len(text) and _clings(text[end], text[end - 1]):
        end -= 1
    return text[:end].rstrip()


def _clings(char: str, before: str) -> bool:
    return unicodedata.category(char).startswith("M") or char in _JOINERS or before in _JOINERS


def one_line(text: str) -> str:
    """Free text made storable: composed, one line, no invisible or broken characters, blanks collapsed, trimmed."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    kept = "".join(" " if char.isspace() else char for char in text if char.isspace() or not is_broken(char))
    return " ".join(unicodedata.normalize("NFC", kept).split())


def storable(text: str) -> str:
    """The text with lone surrogates, which no database takes, shown as U+FFFD."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def is_broken(char: str) -> bool:
    """Whether a character is invisible or no character at all: control, direction mark, surrogate, private use."""
    category = unicodedata.category(char)
    if category in {"Cc", "Cs", "Co", "Zl", "Zp"} or char == "\ufffd":
        return True
    code = ord(char)
    return (category == "Cf" and char not in _JOINERS) or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def kind_of(char: str) -> str:
    """What a refused character is, in words for the operator; never the character itself."""
    category = unicodedata.category(char)
    if category == "Cs" or char == "\ufffd":
        return "a broken character"
    if category == "Cf":
        return "an invisible mark"
    if category in {"Cc", "Zl", "Zp"}:
        return "a control character"
    if category == "Zs":
        return "a space"
    if category.startswith(("L", "M", "N")):
        return "a letter with an accent or outside A-Z"
    if category.startswith("P") or char.isascii():
        return "a punctuation mark"
    return "a symbol or emoji"


def is_plain_name(text: str) -> bool:
    """Whether a person's name can be taken as it stands: letters A-Z and what goes between them, no blank too many."""
    return len(text) <= PERSON_NAME_LIMIT and _PLAIN_WORDS.fullmatch(text) is not None


def name_fault(text: str) -> str | None:
    """The kind of the first character a person's name may not hold, or None."""
    if _PLAIN_NAME.fullmatch(text):
        return None
    return next((kind_of(char) for char in text if _bad_in_name(char)), None)


def _bad_in_name(char: str) -> bool:
    return char in _NAME_PUNCTUATION or is_broken(char)


def mend_name(text: str) -> str:
    """A person's name with what it may not hold replaced by "_", invisible characters dropped."""
    return one_line("".join("_" if char in _NAME_PUNCTUATION else char for char in text))


def upn_fault(local: str) -> str | None:
    """What keeps a text from standing before the "@" of a userPrincipalName, or None. Length is not looked at."""
    illegal = _UPN_ILLEGAL.search(local)
    if illegal:
        return kind_of(illegal[0])
    if local.startswith(".") or local.endswith("."):
        return "a dot at its start or end"
    return "two dots in a row" if ".." in local else None


def mend_upn(local: str) -> str:
    """The text with accents folded to plain letters, anything else illegal as "_", invisible characters dropped."""
    visible = "".join(char for char in local if char.isspace() or not is_broken(char))
    folded = unicodedata.normalize("NFKD", visible.translate(_NO_BASE_LETTER))
    plain = "".join(char for char in folded if not unicodedata.combining(char))
    return re.sub(r"\.{2,}", ".", _UPN_ILLEGAL.sub("_", plain)).strip(".")


def mend_alias(text: str) -> str:
    """The text as a group alias, anything illegal as "_" (Graph docs: group-post-groups). Length is not looked at."""
    folded = unicodedata.normalize("NFKD", text.translate(_NO_BASE_LETTER))
    return _ALIAS_ILLEGAL.sub("_", "".join(char for char in folded if not unicodedata.combining(char)))


def marked(text: str, limit: int, *identity: str) -> str:
    """The text cut so that a short hash of `identity` fits behind it: two identities never end up with one text."""
    return f"{cut(text, limit - len(_MARK) - _HASH_LENGTH)}{_MARK}{short_hash(*identity)}"


def short_hash(*parts: str) -> str:
    """Ten characters a-z2-7 (50 bits) that stand for the parts, in order, case and all."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(digest)[:_HASH_LENGTH].decode("ascii").lower()
