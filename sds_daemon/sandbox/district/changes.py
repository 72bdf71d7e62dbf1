"""Changes of a district: lists of operations, done all together or not at all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from sds_daemon.sandbox.district import change_classes, change_many, change_people, change_places
from sds_daemon.sandbox.district.model import District
from sds_daemon.sandbox.district.operation import OPERATIONS, Args, ChangeError, Result

__all__ = ["ChangeError", "apply", "change_classes", "change_many", "change_people", "change_places", "described"]


def apply(district: District, operations: Sequence[Mapping[str, Any]], today: dt.date) -> list[Result]:
    """Does the operations in order and returns the ids each one made or changed.

    Every operation is a mapping with "op" and its arguments ("note" is ignored). Raises ChangeError, with the district
    as it was before the first of them, if any cannot be done.
    """
    with district.transaction():
        return [_perform(district, values, today) for values in operations]


def described() -> dict[str, str]:
    """Every operation and its arguments, optional ones in brackets."""
    return {name: " ".join((function.__doc__ or "").split()) for name, function in sorted(OPERATIONS.items())}


def _perform(district: District, values: Mapping[str, Any], today: dt.date) -> Result:
    name = values.get("op")
    function = OPERATIONS.get(name) if isinstance(name, str) else None
    if function is None:
        raise ChangeError(f"unknown op {name!r}; known are {', '.join(sorted(OPERATIONS))}")
    args = Args(district, values, today)
    result = function(args)
    args.finish()
    return {"op": name, **result}
