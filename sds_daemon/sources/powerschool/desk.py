"""What the steps of one read share: the session, the page sizes, the proof so far, the problems found."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Any, TypeVar

from sds_daemon.errors import SourceMissing
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Part, Proof, Resource
from sds_daemon.roster.records import RecordKind, RecordProblem, Ref
from sds_daemon.sources.base import Progress
from sds_daemon.sources.powerschool.client import Session
from sds_daemon.sources.powerschool.lanes import each
from sds_daemon.sources.powerschool.pages import ListCall, Listing, read_list
from sds_daemon.sources.powerschool.wire import Parsed

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 100


class Desk:
    """Mutable; lives for one read."""

    def __init__(self, session: Session, progress: Progress) -> None:
        self.session = session
        self.progress = progress
        self.page_sizes: dict[str, int] = {}
        self.proof = Proof(parts=[])
        self.missing: set[tuple[Resource, str]] = set()
        self.notices: list[str] = []
        self._problems: dict[tuple[Ref, str, str], RecordProblem] = {}

    @property
    def problems(self) -> list[RecordProblem]:
        """Each problem once, in the order found."""
        return list(self._problems.values())

    def problem(self, ref: Ref, code: IssueCode, detail: str) -> None:
        """Notes that a record, or a field of it, could not be used."""
        self._problems.setdefault((ref, code.value, detail), RecordProblem(ref=ref, code=code.value, detail=detail))

    def notice(self, sentence: str) -> None:
        """Notes something the operator should know that concerns no single record of a roster."""
        if sentence not in self.notices:
            self.notices.append(sentence)

    def call(self, item: str, path: str, *, root: str | None = None, **options: Any) -> ListCall:
        """The call for a list of `item` with the server's page size for it."""
        size = self.page_sizes.get(item, DEFAULT_PAGE_SIZE)
        return ListCall(path=path, root=root or f"{item}s", item=item, size=size, **options)

    async def read(self, resource: Resource, school_id: str | None, call: ListCall) -> Listing:
        """Reads a list and files its proof. Raises SourceError, Interrupted."""
        listing = await read_list(self.session, call)
        self.proof.parts.append(listing.part(resource, school_id))
        return listing

    async def each_school(
        self, stage: str, resource: Resource, schools: Collection[str], work: Callable[[str], Awaitable[T]]
    ) -> list[T]:
        """The results of `work`, which reads a resource of one school, in order, several at a time, with progress.

        A school without such a list (404) is an unproved part and a problem, as long as others have one; it is left
        out. Raises what `work` raises.
        """
        done = 0
        absent: list[SourceMissing] = []

        async def counted(school_id: str) -> list[T]:
            nonlocal done
            try:
                result = [await work(school_id)]
            except SourceMissing as error:
                absent.append(error)
                self._file_missing(resource, school_id, error)
                result = []
            done += 1
            self.progress(stage, done, len(schools))
            return result

        found = await each(self.session.lanes, schools, counted)
        if absent and len(absent) == len(schools):
            raise absent[0]
        return [result for results in found for result in results]

    def _file_missing(self, resource: Resource, school_id: str, error: SourceMissing) -> None:
        part = Part(resource=resource, school_id=school_id, received=0, expected=None, problem=error.message)
        self.proof.parts.append(part)
        self.missing.add((resource, school_id))
        detail = f"{error.message}, although the school is listed; nothing is removed there"
        self.problem(Ref(RecordKind.SCHOOL, school_id), IssueCode.SCHOOL_UNREADABLE, detail)

    def take(self, listing: Listing, kind: RecordKind, parse: Callable[[Any], Parsed[T]], place: str) -> Iterable[T]:
        """The usable records of a listing; the faults of all of them become problems of `kind`."""
        self.note_doubled(listing, kind, place)
        for row in listing.rows:
            parsed = parse(row)
            self.note(parsed, kind, place)
            if parsed.value is not None:
                yield parsed.value

    def gap(self, resource: Resource, school_id: str, sub_part: str, reason: str) -> None:
        """Marks a sub-part of a filed part as unproved; a part that is unproved as a whole stays so."""
        part = self.proof.part(resource, school_id)
        if part is not None:
            part.problem = part.reason
            part.gaps = {**part.gaps, sub_part: reason}

    def unprove(self, resource: Resource, reason: str, schools: Collection[str] | None = None) -> None:
        """Makes the filed parts of these schools (None: of all) unproved as a whole; one that is so already keeps its
        reason."""
        for part in self.proof.parts:
            if part.resource is resource and (schools is None or part.school_id in schools):
                part.problem = part.reason or reason

    def note_doubled(self, listing: Listing, kind: RecordKind, place: str) -> None:
        """Files the ids that the server went on listing twice."""
        for identity in () if listing.settled else listing.doubled:
            self.problem(Ref(kind, identity), IssueCode.DUPLICATE_SIS_ID, f"the {place} holds the id more than once")

    def note(self, parsed: Parsed[Any], kind: RecordKind, place: str) -> None:
        """Files the faults of one record."""
        for fault in parsed.faults:
            used = "left empty" if parsed.value is not None else "the record is left out"
            self.problem(
                Ref(kind, parsed.id or f"without id, {place}"), IssueCode.INVALID_RECORD, f"{fault} ({place}); {used}"
            )
