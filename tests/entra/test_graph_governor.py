"""The governor: the whole quota, no more, shared fairly, whatever requests turn out to cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from graph_kit import error_body, settings, transport
from virtual_time import run

from sds_daemon.targets.entra.batch import Answer, Item
from sds_daemon.targets.entra.costs import CostBook
from sds_daemon.targets.entra.executor import BatchExecutor
from sds_daemon.targets.entra.governor import Governor, Lane, Priority, governor_for

QUOTA, WINDOW = 3000, 150.0
RATE = QUOTA / WINDOW


@dataclass
class Quota:
    """Graph's side: a bucket, its counting rules and its hints. `latency` is one way, in seconds."""

    thirds: bool = False
    education_counted: bool = True
    hints: bool = True
    retry_after: bool = True
    latency: float = 0.1
    spent: float = 0.0
    at: float = 0.0
    accepted: float = 0.0
    refused: int = 0
    seen: int = 0
    last: float = 0.0
    first: float | None = None
    by_url: dict[str, int] = field(default_factory=dict)

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(self.latency)
        answers = [self._one(item) for item in json.loads(request.content)["requests"]]
        await asyncio.sleep(self.latency)
        return httpx.Response(200, json={"responses": answers})

    def _one(self, item: dict[str, Any]) -> dict[str, Any]:
        now = asyncio.get_running_loop().time()
        self.spent = max(0.0, self.spent - (now - self.at) * RATE) if self.at else 0.0
        self.at = now
        cost = self._cost(item)
        self.seen += 1
        over = self.spent + cost > QUOTA and cost > 0
        self.spent = min(self.spent + cost, QUOTA * 1.1)
        headers: dict[str, str] = {}
        if self.hints and cost and self.spent >= 0.8 * QUOTA:
            headers["x-ms-throttle-limit-percentage"] = f"{self.spent / QUOTA:.2f}"
        if over:
            self.refused += 1
            headers["x-ms-throttle-information"] = "WriteLimitExceeded"
            headers["x-ms-throttle-scope"] = "Tenant_Application/Write/app/tenant"
            if self.retry_after:
                headers["Retry-After"] = f"{(self.spent - QUOTA) / RATE + 0.05:.3f}"
            return {"id": item["id"], "status": 429, "headers": headers, "body": error_body("TooManyRequests")}
        self.first = self.first or now
        self.last = now
        self.accepted += cost
        self.by_url[item["url"]] = self.by_url.get(item["url"], 0) + 1
        return {"id": item["id"], "status": 204, "headers": headers}

    def _cost(self, item: dict[str, Any]) -> int:
        if item["url"].startswith("/education") and not self.education_counted:
            return 0
        adds = len(item.get("body", {}).get("members@odata.bind", ()))
        return -(-adds // 3) if self.thirds and adds else 1

    @property
    def used(self) -> float:
        """Accepted writes as a share of what the quota allowed from the first to the last."""
        return self.accepted / (QUOTA + RATE * (self.last - (self.first or 0.0)))

    @property
    def refused_share(self) -> float:
        return self.refused / self.seen


def multi_add(number: int, adds: int = 20) -> Item:
    body = json.dumps({"members@odata.bind": ["u"] * adds}).encode()
    return Item(method="PATCH", url=f"/groups/{number}", body=body, objects=frozenset({f"g{number}"}), adds=adds)


def account(number: int) -> Item:
    return Item(
        method="POST", url=f"/education/users?{number}", body=b"{}", objects=frozenset({f"u{number}"}),
        create=True, education=True,
    )  # fmt: skip


def single(number: int) -> Item:
    return Item(method="PATCH", url=f"/users/{number}", body=b"{}", objects=frozenset({f"p{number}"}))


async def send(graph: Quota, items: Sequence[Item], **more: Any) -> list[int]:
    loop = asyncio.get_running_loop()
    governor = more.pop("governor", None) or Governor(QUOTA, monotonic=loop.time)
    lane = more.pop("lane", None) or Lane("x")
    sender = BatchExecutor(transport(graph), governor, lane, **more)  # type: ignore[arg-type]
    answers = await asyncio.gather(*(sender.send(item) for item in items))
    await sender.close()
    return [answer.status for answer in answers]


@pytest.mark.parametrize("retry_after", [True, False])
@pytest.mark.parametrize("hints", [True, False])
@pytest.mark.parametrize("thirds", [True, False])
def test_a_long_run_uses_the_quota_and_is_hardly_refused_whatever_a_multi_add_costs(
    thirds: bool, hints: bool, retry_after: bool
) -> None:
    graph = Quota(thirds=thirds, hints=hints, retry_after=retry_after)
    items = [single(n) for n in range(3000)] + [multi_add(n) for n in range(2000 if thirds else 9000)]
    statuses = run(send(graph, items))
    assert set(statuses) == {204}
    assert graph.used >= 0.95, graph
    assert graph.refused_share < (0.01 if hints else 0.03), graph


@pytest.mark.parametrize("counted", [True, False])
def test_education_calls_outside_the_quota_are_found_out_and_not_held_back(counted: bool) -> None:
    graph = Quota(education_counted=counted)
    items = [account(n) for n in range(12_000)]

    async def timed() -> float:
        begin = asyncio.get_running_loop().time()
        assert set(await send(graph, items)) == {204}
        return asyncio.get_running_loop().time() - begin

    seconds = run(timed())
    if counted:
        assert graph.used >= 0.95
        assert graph.refused_share < 0.01
    else:
        assert seconds < 120, "12,000 writes at 20 a second would take 450 s"


def test_both_unknowns_at_once() -> None:
    graph = Quota(thirds=True, education_counted=False)
    items = [item for n in range(3000) for item in (account(n), multi_add(n))]
    assert set(run(send(graph, items))) == {204}
    assert graph.used >= 0.95, graph
    assert graph.refused_share < 0.01, graph


def test_a_bucket_emptied_by_somebody_else_teaches_nothing_wrong() -> None:
    """A program that restarts thinks the bucket full; that must not make it believe education calls are counted."""
    graph = Quota(education_counted=False, spent=QUOTA, at=1000.0)
    items = [single(n) for n in range(200)] + [account(n) for n in range(8000)]

    async def timed() -> float:
        begin = asyncio.get_running_loop().time()
        assert set(await send(graph, items)) == {204}
        return asyncio.get_running_loop().time() - begin

    assert run(timed()) < 120, "8,000 writes at 20 a second would take 400 s"


def test_a_small_school_never_waits_for_the_quota() -> None:
    graph = Quota()

    async def timed() -> float:
        begin = asyncio.get_running_loop().time()
        await send(graph, [single(n) for n in range(1500)])
        return asyncio.get_running_loop().time() - begin

    assert run(timed()) <= 75 / 4 * 0.2 + 1.0


def test_two_profiles_share_and_the_later_one_neither_waits_nor_takes_over() -> None:
    async def both() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        governor, graph = Governor(QUOTA, monotonic=loop.time), Quota()
        first = loop.create_task(send(graph, [single(n) for n in range(12_000)], governor=governor, lane=Lane("a")))
        await asyncio.sleep(200)
        before = sum(graph.by_url.values())
        later = [Item(method="PATCH", url=f"/later/{n}", body=b"{}", objects=frozenset({f"l{n}"})) for n in range(2000)]
        second = loop.create_task(send(graph, later, governor=governor, lane=Lane("b")))
        await asyncio.sleep(60)
        theirs = sum(count for url, count in graph.by_url.items() if url.startswith("/later"))
        ours = sum(graph.by_url.values()) - before - theirs
        await asyncio.gather(first, second)
        return ours, theirs

    ours, theirs = run(both())
    assert ours + theirs >= 0.9 * 60 * RATE
    assert 0.35 <= theirs / (ours + theirs) <= 0.65


def test_interactive_work_goes_before_bulk_work() -> None:
    async def both() -> float:
        loop = asyncio.get_running_loop()
        governor, graph = Governor(QUOTA, monotonic=loop.time), Quota()
        bulk = loop.create_task(send(graph, [single(n) for n in range(9000)], governor=governor, lane=Lane("a")))
        await asyncio.sleep(200)
        begin = loop.time()
        urgent = [Item(method="PATCH", url=f"/now/{n}", body=b"{}", objects=frozenset({f"n{n}"})) for n in range(100)]
        await send(graph, urgent, governor=governor, lane=Lane("b", Priority.INTERACTIVE))
        seconds = loop.time() - begin
        await bulk
        return seconds

    assert run(both()) <= 100 / RATE + 8


def test_bulk_work_gives_way_to_another_process_and_interactive_work_does_not() -> None:
    async def both() -> tuple[int, int, int, int]:
        loop = asyncio.get_running_loop()
        governor, graph = Governor(QUOTA, monotonic=loop.time), Quota()
        first = False
        asked = 0

        def others_first() -> bool:
            nonlocal asked
            asked += 1
            return first

        with governor.giving_way(others_first):
            bulk = loop.create_task(send(graph, [single(n) for n in range(4000)], governor=governor, lane=Lane("a")))
            await asyncio.sleep(20)
            first = True
            await asyncio.sleep(2)
            before = graph.seen
            urgent = [
                Item(method="PATCH", url=f"/now/{n}", body=b"{}", objects=frozenset({f"n{n}"})) for n in range(20)
            ]
            await send(graph, urgent, governor=governor, lane=Lane("b", Priority.INTERACTIVE))
            await asyncio.sleep(30)
            meanwhile, looks = graph.seen - before, asked
            first = False
            await bulk
        return meanwhile, looks, graph.seen, graph.refused

    meanwhile, looks, seen, refused = run(both())
    assert meanwhile == 20
    assert looks <= 53, "about once a second"
    assert (seen, refused) == (4020, 0)


def test_a_turn_given_up_in_the_moment_it_comes_costs_nothing() -> None:
    async def check() -> tuple[float, int]:
        now = 0.0

        async def later(_seconds: float) -> None:
            nonlocal now
            await asyncio.sleep(0)
            now += 300
            asyncio.get_running_loop().call_soon(turn.cancel)

        governor, lane = Governor(100, monotonic=lambda: now, sleep=later), Lane("a")
        await governor.admit(lane, [single(n) for n in range(99)])
        turn = asyncio.get_running_loop().create_task(governor.admit(lane, [single(n) for n in range(20)]))
        with pytest.raises(asyncio.CancelledError):
            await turn
        return lane.spent, governor.fitting([single(n) for n in range(100)])

    assert run(check()) == (99, 99)


def test_a_refusal_stops_every_lane_of_the_tenant() -> None:
    async def check() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        governor = Governor(QUOTA, monotonic=loop.time)
        governor.refused(7.25)
        begin = loop.time()
        await asyncio.gather(governor.admit(Lane("a"), [single(1)]), governor.admit(Lane("b"), [single(2)]))
        waited = loop.time() - begin
        governor.refused(None)
        return waited, governor.paused()

    waited, default = run(check())
    assert 7.2 <= waited <= 7.6
    assert 9.9 <= default <= 10


@pytest.mark.parametrize(("window", "pause"), [(150.0, 10.0), (3.0, 0.2), (600.0, 10.0)])
def test_a_refusal_without_a_time_stops_for_as_long_as_suits_the_window(window: float, pause: float) -> None:
    governor = Governor(QUOTA, window, monotonic=lambda: 50.0)
    governor.refused(None)
    assert governor.paused() == pytest.approx(pause)


def test_a_turn_given_up_does_not_block_the_line() -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        governor = Governor(QUOTA, monotonic=loop.time)
        await governor.admit(Lane("a"), [single(n) for n in range(2900)])
        given_up = loop.create_task(governor.admit(Lane("a"), [multi_add(n) for n in range(400)]))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait_for(governor.admit(Lane("b"), [single(1)]), 5)

    run(check())


def test_more_than_the_bucket_holds_is_admitted_when_it_is_full() -> None:
    async def check() -> float:
        loop = asyncio.get_running_loop()
        governor = Governor(10, monotonic=loop.time)
        begin = loop.time()
        await governor.admit(Lane("a"), [single(n) for n in range(20)])
        await governor.admit(Lane("a"), [single(1)])
        return loop.time() - begin

    assert run(check()) > 100


def test_a_tenant_wide_refusal_teaches_nothing_about_costs() -> None:
    book = CostBook(3000.0, 20.0)
    items = [multi_add(n) for n in range(20)]
    book.book(items)
    before = book.believed
    book.observe(items, used=None, throttled=False)
    assert book.believed is before
    assert book.level == 2980


def test_requests_outside_the_quota_say_nothing_of_the_bucket() -> None:
    """No answer to a call under /education carries a warning where these are not counted, however empty the bucket."""
    book = CostBook(3000.0, 20.0)
    accounts, adds = [account(n) for n in range(20)], [multi_add(n) for n in range(20)]
    for _ in range(150):
        book.book(accounts)
        book.observe(accounts, used=None, throttled=False)
    assert not book.believed.education, "3,000 counted writes would have brought a warning"
    full = book.level
    while book.level > 200:
        book.book(adds)
        book.observe(adds, used=max(0.0, 1 - book.level / 3000), throttled=False)
    left = book.level
    book.book(accounts)
    book.observe(accounts, used=None, throttled=False)
    assert (book.level, book.believed.education) == (left, False)
    assert full > 2000


@pytest.mark.parametrize("thirds", [True, False])
def test_calls_outside_the_quota_beside_an_empty_bucket(thirds: bool) -> None:
    """Most batches hold only calls that do not use the quota, while the others use all of it."""
    graph = Quota(thirds=thirds, education_counted=False)
    items = [account(n) for n in range(20_000)]
    items += [multi_add(n) for n in range(1500 if thirds else 8000)]
    assert set(run(send(graph, items))) == {204}
    assert graph.used >= 0.95, graph
    assert graph.refused_share < 0.01, graph


def test_one_governor_per_app_and_tenant() -> None:
    one, same = governor_for(settings()), governor_for(settings(name="other name"))
    assert one is same
    assert governor_for(settings(client_id="another")) is not one
    assert governor_for(settings(tenant_id="6d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1")) is not one
    assert governor_for(settings(write_quota=30)).costs.capacity == 30


def test_the_period_of_the_quota_is_the_tenants() -> None:
    usual = governor_for(settings(write_quota=30))
    quick = governor_for(settings(write_quota=30, write_period=15.0))
    assert quick is not usual
    assert (usual.costs.rate, quick.costs.rate) == (pytest.approx(0.2), pytest.approx(2.0))
    assert governor_for(settings(write_quota=30, write_period=15.0)) is quick


def test_calls_outside_the_quota_do_not_wait_behind_those_that_use_it() -> None:
    graph = Quota(education_counted=False)

    async def last_account() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        sender = BatchExecutor(transport(graph), Governor(QUOTA, monotonic=loop.time), Lane("x"))  # type: ignore[arg-type]
        await asyncio.gather(*(sender.send(account(n)) for n in range(6000)))
        begin = loop.time()
        adds = [sender.submit(multi_add(n)) for n in range(9000)]
        await asyncio.gather(*(sender.send(account(n)) for n in range(6000, 9000)))
        accounts = loop.time() - begin
        await asyncio.gather(*adds)
        everything = loop.time() - begin
        await sender.close()
        return accounts, everything

    accounts, everything = run(last_account())
    assert accounts < 60
    assert everything >= (9000 - QUOTA) / RATE
    assert everything < 1.05 * (9000 - QUOTA) / RATE


def test_what_queues_for_one_object_keeps_up_with_the_rest() -> None:
    graph = Quota(hints=False)
    school = frozenset({"school"})
    chained = [Item(method="POST", url=f"/school/{n}", body=b"{}", objects=school) for n in range(200)]

    async def timed() -> float:
        begin = asyncio.get_running_loop().time()
        assert set(await send(graph, [*chained, *(single(n) for n in range(1600))])) == {204}
        return asyncio.get_running_loop().time() - begin

    assert run(timed()) < 10, "200 round trips take 40 s"


def test_a_refusal_for_units_tells_the_size_of_the_tenant() -> None:
    async def check(refusals: int) -> float:
        loop = asyncio.get_running_loop()
        governor = Governor(QUOTA, monotonic=loop.time)
        read = Item(method="GET", url="/users", writes=0, units=1000)
        headers = {"x-ms-throttle-information": "ResourceUnitLimitExceeded", "retry-after": "0"}
        for _ in range(refusals):
            governor.answered([read], [Answer(status=429, headers=headers)])
        await asyncio.sleep(60)
        begin = loop.time()
        for _ in range(24):
            await governor.admit(Lane("a"), [read])
        return loop.time() - begin

    assert run(check(0)) == pytest.approx((24 - 8) * 1.25, abs=2)
    assert run(check(1)) == pytest.approx((24 - 5) * 2.0, abs=2)
    assert run(check(5)) == pytest.approx((24 - 3.5) * 10 / 3.5, abs=4)
