"""All links and managed memberships of a cycle, in a form in which those of a large district fit into memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from itertools import chain

from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Head, Role
from sds_daemon.store.memberships import counted, packed, unpacked

Pair = tuple[Role, Ref]


class Known(MutableMapping[Ref, Head]):
    """Links by record, whatever profile made them; what was written to their objects stays in the store."""

    def __init__(self, heads: Iterable[Head] = ()) -> None:
        self._by_kind: dict[RecordKind, dict[str, Head]] = {kind: {} for kind in RecordKind}
        self.put(heads)

    def put(self, heads: Iterable[Head]) -> None:
        """Take links in, in place of earlier ones of the same records."""
        for head in heads:
            self._by_kind[head.ref.kind][head.ref.sis_id] = head

    def heads(self) -> Iterator[Head]:
        """All of them, by kind."""
        return chain.from_iterable(by_id.values() for by_id in self._by_kind.values())

    def find(self, ref: Ref) -> Head | None:
        """The link of one record."""
        return self._by_kind[ref.kind].get(ref.sis_id)

    def object_id(self, ref: Ref) -> str | None:
        """The object a record is linked to."""
        head = self.find(ref)
        return head.object_id if head is not None else None

    def all(self, kind: RecordKind) -> Mapping[str, Head]:
        """Links of one kind by SIS ID."""
        return self._by_kind[kind]

    def __getitem__(self, ref: Ref) -> Head:
        return self._by_kind[ref.kind][ref.sis_id]

    def __setitem__(self, ref: Ref, head: Head) -> None:
        self._by_kind[ref.kind][ref.sis_id] = head

    def __delitem__(self, ref: Ref) -> None:
        del self._by_kind[ref.kind][ref.sis_id]

    def __iter__(self) -> Iterator[Ref]:
        return (head.ref for head in self.heads())

    def __len__(self) -> int:
        return sum(map(len, self._by_kind.values()))


class Managed(Mapping[Ref, frozenset[Pair]]):
    """Managed memberships by container, kept as numbers; they become pairs of role and member where somebody asks.

    A number stands for a member and its role (`store.memberships.packed`). Members without a link get one as well, so
    that what is demanded of a class is compared as a set of numbers, too.
    """

    def __init__(self, rows: Mapping[int, Sequence[int]], known: Known) -> None:
        self._rows = rows
        self._known = known
        self._refs: dict[int, Ref] | None = None
        self._unlinked: dict[Ref, int] = {}

    def numbers(self, container: Ref) -> set[int]:
        """What is in one container; nothing where it has no link."""
        head = self._known.find(container)
        return set(self._rows.get(head.key, ())) if head is not None else set()

    def number(self, role: Role, member: Ref) -> int:
        """The number of a membership, whether there is one or not."""
        head = self._known.find(member)
        return packed(head.key if head is not None else self._unlinked_key(member), role)

    def pairs(self, numbers: Iterable[int]) -> list[Pair]:
        """Numbers as role and member, sorted. Records whose link was dropped meanwhile are left out."""
        found = ((role, self._ref(key)) for key, role in map(unpacked, numbers))
        return sorted((role, ref) for role, ref in found if ref is not None)

    def counts(self) -> Iterator[tuple[Ref, Counter[Role]]]:
        """How many of each role are in each container."""
        for key, numbers in self._rows.items():
            container = self._ref(key)
            if container is not None:
                yield container, counted(numbers)

    def _unlinked_key(self, ref: Ref) -> int:
        key = self._unlinked.setdefault(ref, -1 - len(self._unlinked))
        self._by_key()[key] = ref
        return key

    def _ref(self, key: int) -> Ref | None:
        return self._by_key().get(key)

    def _by_key(self) -> dict[int, Ref]:
        if self._refs is None:
            self._refs = {head.key: head.ref for head in self._known.heads()}
        return self._refs

    def __getitem__(self, container: Ref) -> frozenset[Pair]:
        head = self._known[container]
        return frozenset(self.pairs(self._rows[head.key]))

    def __iter__(self) -> Iterator[Ref]:
        return (container for key in self._rows if (container := self._ref(key)) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class People:
    """People by kind and SIS ID. Asked a million times a cycle, so that no `Ref` is made for the asking."""

    def __init__(self, refs: Iterable[Ref]) -> None:
        self.students: set[str] = set()
        self.teachers: set[str] = set()
        for ref in refs:
            self.add(ref)

    def add(self, ref: Ref) -> None:
        """Take somebody in."""
        self.of(ref.kind).add(ref.sis_id)

    def of(self, kind: RecordKind) -> set[str]:
        """Those of one kind."""
        return self.students if kind is RecordKind.STUDENT else self.teachers

    def __contains__(self, ref: Ref) -> bool:
        return ref.sis_id in self.of(ref.kind)
