"""An executor without a network: answers at once, or holds answers back, and watches what it is given."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count
from typing import Any

import msgspec
from kiota_abstractions.authentication.anonymous_authentication_provider import AnonymousAuthenticationProvider
from msgraph import GraphServiceClient
from msgraph.graph_request_adapter import GraphRequestAdapter
from writing_rig import MemoryLedger

from sds_daemon.clock import Clock
from sds_daemon.errors import SdsError, TargetInvalid
from sds_daemon.plan.change import Change
from sds_daemon.targets.base import Sku
from sds_daemon.targets.entra import schedule
from sds_daemon.targets.entra.accounts import Licenses
from sds_daemon.targets.entra.ages import Ages
from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.errors import parse_error
from sds_daemon.targets.entra.find import Finder
from sds_daemon.targets.entra.recorder import Recorder
from sds_daemon.targets.entra.refusals import Refusals
from sds_daemon.targets.entra.requests import Requests
from sds_daemon.targets.entra.strands import Context, Objects, Pool

ROOT = "https://graph.microsoft.com/v1.0"
Rule = Callable[[Item], Answer | None]


def ok(status: int = 204, **body: Any) -> Answer:
    return Answer(status=status, body=msgspec.json.encode(body) if body else b"")


def error(status: int, message: str = "", code: str = "Request_BadRequest", *details: tuple[str, str]) -> Answer:
    entries = [{"code": c, "target": t, "message": ""} for c, t in details]
    body = msgspec.json.encode({"error": {"code": code, "message": message, "details": entries}})
    return Answer(status=status, body=body, error=parse_error(status, body))


def lost(status: int = 0) -> Answer:
    return Answer(status=status, lost=True, error=parse_error(status, b""))


def stopped() -> Answer:
    return Answer(status=0, stopped=True, error=parse_error(0, b""))


def relative(link: str) -> str:
    if not link.startswith(f"{ROOT}/"):
        raise TargetInvalid("a link that leads away")
    return link.removeprefix(ROOT)


class FakeExecutor:
    """Rules are asked in turn; else creates get an id and everything else 204. Keeps items in the order sent."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self.failure: SdsError | None = None
        self.items: list[Item] = []
        self.rules: deque[Rule] = deque()
        self.held: list[tuple[Item, asyncio.Future[None]]] = []
        self.hold: Callable[[Item], bool] = lambda item: False
        self.in_flight: dict[str, int] = {}
        self.peak = 0
        self.overlaps: list[str] = []
        self.births: list[str] = []
        self.ripening = 0.0
        self.before_send: Callable[[Sequence[Item]], None] = lambda items: None
        self._numbers = count(1)

    def on(self, method: str, part: str, *answers: Answer) -> None:
        """Answer matching items with these, in turn; afterwards as usual."""
        left = deque(answers)

        def rule(item: Item) -> Answer | None:
            return left.popleft() if left and item.method == method and part in item.url else None

        self.rules.append(rule)

    async def send(self, item: Item) -> Answer:
        self.before_send([item])
        self.items.append(item)
        for name in item.objects:
            self.in_flight[name] = self.in_flight.get(name, 0) + 1
            if self.in_flight[name] > 1 and not item.kind.startswith(("school", "user.license_group")):
                self.overlaps.append(f"{item.method} {item.url}")
        self.peak = max(self.peak, sum(self.in_flight.values()))
        try:
            await asyncio.sleep(0)
            if self.hold(item):
                gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self.held.append((item, gate))
                await gate
            return self._answer(item)
        finally:
            for name in item.objects:
                self.in_flight[name] -= 1

    def release(self) -> None:
        """Let everything held go, and hold nothing more."""
        self.hold = lambda item: False
        for _, gate in self.held:
            gate.set_result(None)
        self.held.clear()

    def born(self, object_id: str, at: datetime | None = None) -> None:
        self.births.append(object_id)

    def _answer(self, item: Item) -> Answer:
        for rule in self.rules:
            answer = rule(item)
            if answer is not None:
                return answer
        if item.method == "GET":
            return ok(200, value=[])
        if item.create:
            return ok(201, id=f"{item.kind}-{next(self._numbers)}")
        return ok()

    def sent(self, method: str, part: str = "") -> list[Item]:
        """Items sent so far."""
        return [item for item in self.items if item.method == method and part in item.url]


class Bench:
    """An apply over a fake executor."""

    def __init__(self, *, education: bool = True, class_api: str = "education", clock: Clock | None = None) -> None:
        self.executor = FakeExecutor()
        self.ledger = MemoryLedger()
        self.education = education
        self.class_api = class_api
        self.clock = clock or Clock()
        self.stop = False
        self.slept: list[float] = []
        self.skus = {
            "s": Sku(id="11111111-0000-0000-0000-000000000001", part_number="STUDENT", seats=10, seats_free=10),
            "f": Sku(id="11111111-0000-0000-0000-000000000002", part_number="FACULTY", seats=10, seats_free=10),
        }

    async def apply(self, changes: Sequence[Change], **options: Any) -> MemoryLedger:
        recorder = Recorder(changes, self.ledger, lambda stage, done, total: None)
        self.executor.before_send = recorder.before_send

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)
            advance = getattr(self.clock, "advance", None)
            if advance is not None:
                from datetime import timedelta

                advance(timedelta(seconds=seconds))
            await asyncio.sleep(0)

        pool = Pool(ripening=lambda: self.executor.ripening)
        builders = GraphServiceClient(request_adapter=GraphRequestAdapter(AnonymousAuthenticationProvider()))
        context = Context(
            requests=Requests(builders, ROOT, education=self.education, class_api=self.class_api),
            executor=self.executor,
            recorder=recorder,
            finder=Finder(
                self.executor.send,
                self.clock,
                education=self.education,
                class_api=self.class_api,
                horizon=900.0,
                stop=lambda: self.stop,
                sleep=sleep,
            ),
            objects=Objects(self.ledger, schedule.coming(changes), pool.later),
            licenses=Licenses(self.skus),
            clock=self.clock,
            pool=pool,
            stop=lambda: self.stop,
            refusals=Refusals(),
            ages=Ages(self.executor.send, self.executor.born),
            link=relative,
            **options,
        )
        await schedule.run(changes, context)
        assert self.executor.overlaps == []
        assert {change.key for change in changes} == set(self.ledger.outcomes)
        return self.ledger
