"""The executor: what is packed together, what is repeated, what is not, and when it ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

import httpx
import pytest
from graph_kit import NOW, BatchGraph, FakeTokens, create, error_body, executor, patch, transport

from sds_daemon.errors import StateError, TargetRefused, TargetUnreachable
from sds_daemon.targets.entra.batch import Answer, Item, created_id
from sds_daemon.targets.entra.errors import Problem, classify
from sds_daemon.targets.entra.executor import BIRTHS

MISSING = "Resource '{}' does not exist or one of its queried reference-property objects are not present."
OK = (204, None, {})


async def run(graph: BatchGraph, items: Sequence[Item], **more) -> list[Answer]:
    sender = executor(graph, **more)
    answers = await asyncio.gather(*(sender.send(item) for item in items))
    await sender.close()
    return list(answers)


def failing(times: int, status: int, code: str = "", message: str = "", **headers: str):
    """An item's script: fails the first `times` times, then 204."""

    def answer(method: str, url: str, seen: int):
        return (status, error_body(code, message), headers) if seen <= times else OK

    return answer


# What leaves


async def test_many_items_leave_twenty_at_a_time_and_each_gets_its_own_answer() -> None:
    graph = BatchGraph(lambda method, url, times: (201, {"id": url.split("=")[1]}, {}))
    answers = await run(graph, [create(n) for n in range(50)])
    assert [created_id(a) for a in answers] == [str(n) for n in range(50)]
    assert sorted(len(batch) for batch in graph.batches) == [10, 20, 20]


async def test_bodies_carry_their_content_type_and_urls_are_relative() -> None:
    graph = BatchGraph()
    await run(graph, [patch(1), Item(method="DELETE", url="/groups/g/members/m/$ref", objects=frozenset({"g"}))])
    by_method = {item["method"]: item for batch in graph.batches for item in batch}
    assert by_method["PATCH"]["headers"] == {"Content-Type": "application/json"}
    assert by_method["PATCH"]["body"] == {"department": "x"}
    assert "body" not in by_method["DELETE"]
    assert all(item["url"].startswith("/") for item in by_method.values())


async def test_two_writes_to_one_object_are_never_under_way_together() -> None:
    under_way: set[str] = set()

    class Slow(BatchGraph):
        async def handle(self, request: httpx.Request) -> httpx.Response:
            answer = BatchGraph.__call__(self, request)
            names = Counter(item["url"] for item in self.batches[-1])
            chained = any("dependsOn" in item for item in self.batches[-1])
            assert chained or max(names.values()) == 1
            assert under_way.isdisjoint(names)
            under_way.update(names)
            await asyncio.sleep(0.01)
            under_way.difference_update(names)
            return answer

    graph = Slow()
    items = [patch(n % 7) for n in range(60)]
    sender = executor(graph, transport=transport(graph.handle))
    answers = await asyncio.gather(*(sender.send(item) for item in items))
    assert all(answer.ok for answer in answers)
    await sender.close()


async def test_items_for_one_object_alone_go_as_a_chain_in_their_order() -> None:
    graph = BatchGraph()
    items = [
        Item(method="POST", url=f"/education/schools/s/users/$ref?n={n}", objects=frozenset({"s"})) for n in range(45)
    ]
    assert all(answer.ok for answer in await run(graph, items))
    assert len(graph.batches) <= 4
    for batch in graph.batches:
        assert [item.get("dependsOn") for item in batch] == [None, *([item["id"]] for item in batch[:-1])]
    sent = [item["url"] for batch in graph.batches for item in batch]
    assert sent == [item.url for item in items]


async def test_a_broken_link_of_a_chain_does_not_take_the_rest_with_it() -> None:
    def answer(method: str, url: str, times: int):
        if url.endswith("n=3"):
            return 400, error_body("Request_BadRequest", "A conflicting object with one or more of ... present"), {}
        if int(url.split("=")[1]) > 3 and times == 1:
            return 424, error_body("FailedDependency"), {}
        return OK

    items = [Item(method="POST", url=f"/x?n={n}", objects=frozenset({"s"})) for n in range(10)]
    answers = await run(BatchGraph(answer), items)
    assert [a.status for a in answers] == [204, 204, 204, 400, 204, 204, 204, 204, 204, 204]


async def test_few_items_leave_at_once_and_no_more_than_four_batches_are_under_way() -> None:
    under_way, most = 0, 0

    async def script(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return BatchGraph()(request)

    sender = executor(script)
    await asyncio.wait_for(sender.send(patch("alone")), 2)
    await asyncio.gather(*(sender.send(patch(n)) for n in range(400)))
    assert most == 4
    await sender.close()


async def test_a_few_items_do_not_wait_for_the_end_of_long_chains() -> None:
    gate = asyncio.Event()

    async def script(request: httpx.Request) -> httpx.Response:
        if b"dependsOn" in request.content:
            await gate.wait()
        return BatchGraph()(request)

    sender = executor(script)
    chained = [
        Item(method="POST", url=f"/education/schools/{name}/users/$ref?n={n}", objects=frozenset({name}))
        for name in ("a", "b")
        for n in range(20)
    ]
    chains = [sender.submit(item) for item in chained]
    await asyncio.sleep(0.05)
    await asyncio.wait_for(asyncio.gather(sender.send(patch(1)), sender.send(patch(2))), 2)
    assert not any(future.done() for future in chains[1:20])
    gate.set()
    assert all(answer.ok for answer in await asyncio.gather(*chains))
    await sender.close()


async def test_the_intention_is_stored_before_each_post_and_on_every_repeat() -> None:
    order: list[str] = []
    graph = BatchGraph(failing(1, 503))

    def script(request: httpx.Request) -> httpx.Response:
        order.append("post")
        return graph(request)

    await run(script, [patch(1)], before_send=lambda items: order.append(f"intend {len(items)}"))  # type: ignore[arg-type]
    assert order == ["intend 1", "post", "intend 1", "post"]


async def test_nothing_is_sent_when_the_intention_cannot_be_stored() -> None:
    graph = BatchGraph()

    def full(items: Sequence[Item]) -> None:
        raise StateError("the disk is full")

    sender = executor(graph, before_send=full)
    answers = await asyncio.gather(*(sender.send(create(n)) for n in range(30)))
    assert graph.batches == []
    assert all(a.stopped and not a.lost for a in answers)
    assert isinstance(sender.failure, StateError)
    await sender.close()


# What is repeated


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "TooManyRequests"),
        (423, "Locked"),
        (424, "FailedDependency"),
        (409, "Directory_ConcurrencyViolation"),
    ],
)
async def test_what_was_certainly_not_done_is_repeated_even_for_creates(status: int, code: str) -> None:
    graph = BatchGraph(failing(2, status, code, **{"Retry-After": "0.001"}))
    answers = await run(graph, [create(1), patch(2)])
    assert [a.status for a in answers] == [204, 204]
    assert [a.attempts for a in answers] == [3, 3]
    assert not any(a.lost for a in answers)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_create_that_may_have_been_done_comes_back_lost_and_everything_else_is_repeated(status: int) -> None:
    graph = BatchGraph(failing(2, status))
    made, changed = await run(graph, [create(1), patch(2)])
    assert (made.lost, made.status, made.attempts) == (True, status, 1)
    assert (changed.status, changed.lost, changed.attempts) == (204, False, 3)


async def test_a_fault_without_end_is_given_back_after_a_while() -> None:
    graph = BatchGraph(failing(10**6, 500, "InternalServerError"))
    (answer,) = await run(graph, [patch(1)])
    assert (answer.status, answer.lost, answer.stopped) == (500, False, False)
    assert 5 <= answer.attempts <= 10


async def test_an_item_the_answer_forgets_counts_as_unanswered() -> None:
    def script(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"responses": []})

    made, *_ = await run(script, [create(1)])  # type: ignore[arg-type]
    assert made.lost


async def test_a_permanent_refusal_is_not_repeated() -> None:
    graph = BatchGraph(failing(99, 400, "Request_BadRequest", "One or more properties contains invalid values."))
    (answer,) = await run(graph, [create(1)])
    assert (answer.attempts, answer.lost) == (1, False)
    assert answer.error is not None
    assert classify(answer.error).problem is Problem.INVALID_VALUE


async def test_a_404_about_a_young_object_is_waited_out_and_one_about_an_old_object_is_not() -> None:
    graph = BatchGraph(lambda m, url, times: (404, error_body("x", MISSING.format(url[-2:])), {}) if times < 4 else OK)
    sender = executor(graph)
    sender.born("g1")
    sender.born("g2", NOW - timedelta(hours=1))
    young, old = await asyncio.gather(sender.send(patch("g1")), sender.send(patch("g2")))
    assert (young.status, young.attempts) == (204, 4)
    assert (old.status, old.attempts) == (404, 1)
    await sender.close()


async def test_faults_between_404s_about_a_young_object_are_not_faults_in_a_row() -> None:
    missing, fault = (404, error_body("x", MISSING.format("g1")), {}), (500, error_body("InternalServerError"), {})
    graph = BatchGraph(lambda m, url, times: OK if times > 20 else (missing, fault)[times % 2])
    sender = executor(graph)
    sender.born("g1")
    answer = await asyncio.wait_for(sender.send(patch("g1")), 20)
    assert (answer.status, answer.attempts) == (204, 21)
    await sender.close()


async def test_a_404_about_a_member_that_is_gone_is_not_taken_for_the_lag_of_its_young_group() -> None:
    graph = BatchGraph(lambda m, url, times: (404, error_body("x", MISSING.format("u9")), {}))
    sender = executor(graph)
    sender.born("g1")
    answer = await sender.send(patch("g1", needs=frozenset({"u9"})))
    assert (answer.status, answer.attempts) == (404, 1)
    await sender.close()


async def test_lag_ends_with_its_horizon() -> None:
    graph = BatchGraph(lambda m, url, times: (404, error_body("x", MISSING.format("g1")), {}))
    sender = executor(graph, lag_horizon=0.15)
    sender.born("g1")
    answer = await asyncio.wait_for(sender.send(patch("g1")), 5)
    assert answer.status == 404
    assert answer.attempts > 1
    await sender.close()


async def test_thousands_of_old_objects_are_forgotten_and_the_new_ones_are_not() -> None:
    graph = BatchGraph(lambda m, url, times: (404, error_body("x", MISSING.format(url[-2:])), {}) if times < 3 else OK)
    sender = executor(graph, lag_horizon=1.0)
    for number in range(BIRTHS - 1):
        sender.born(f"old{number}", NOW - timedelta(seconds=0.9))
    sender.born("g1")
    await asyncio.sleep(0.15)
    sender.born("g2")
    assert sender._births.keys() == {"g1", "g2"}
    young = await asyncio.gather(sender.send(patch("g1")), sender.send(patch("g2")))
    assert [(answer.status, answer.attempts) for answer in young] == [(204, 3)] * 2
    await sender.close()


async def test_an_expired_token_inside_a_batch_is_renewed_once_for_all() -> None:
    tokens = FakeTokens()
    graph = BatchGraph(failing(1, 401, "InvalidAuthenticationToken", "token is expired"))
    sender = executor(graph, transport=transport(graph, tokens=tokens))
    answers = await asyncio.gather(*(sender.send(patch(n)) for n in range(30)))
    assert all(answer.ok for answer in answers)
    assert tokens.number <= 3
    assert graph.tokens[-1] != "Bearer token-1"
    await sender.close()


async def test_a_token_that_stays_refused_ends_the_run() -> None:
    graph = BatchGraph(failing(99, 401, "InvalidAuthenticationToken", "no"))
    sender = executor(graph)
    answers = await asyncio.gather(*(sender.send(create(n)) for n in range(30)))
    assert isinstance(sender.failure, TargetRefused)
    assert all(a.stopped for a in answers)
    await sender.close()


# Whole batches


@pytest.mark.parametrize(
    "answer", [httpx.Response(503), httpx.Response(504, text="<html>"), httpx.Response(200, text="<html>")]
)
async def test_a_batch_without_answer_loses_its_creates_and_repeats_the_rest(answer: httpx.Response) -> None:
    graph = BatchGraph(outer=lambda number: answer if number == 1 else None)
    made, changed = await run(graph, [create(1), patch(2)])
    assert made.lost
    assert changed.ok
    assert len(graph.batches) == 2


async def test_a_connection_cut_after_sending_loses_creates_and_one_never_made_does_not() -> None:
    def cut(error: Exception):
        def outer(number: int) -> None:
            if number == 1:
                raise error

        return BatchGraph(outer=outer)

    (made,) = await run(cut(httpx.ReadError("x")), [create(1)])
    assert made.lost
    graph = cut(httpx.ConnectError("x"))
    (made,) = await run(graph, [create(1)])
    assert made.ok
    assert len(graph.batches) == 2


async def test_a_batch_refused_for_its_rate_is_repeated_whole() -> None:
    refused = httpx.Response(429, headers={"Retry-After": "0.01"}, json=error_body("TooManyRequests"))
    graph = BatchGraph(outer=lambda number: refused if number == 1 else None)
    answers = await run(graph, [create(n) for n in range(5)])
    assert all(a.ok and not a.lost for a in answers)


async def test_one_malformed_item_does_not_spoil_its_neighbours() -> None:
    def outer(number: int) -> httpx.Response | None:
        urls = [item["url"] for item in graph.batches[-1]]
        return httpx.Response(400, json=error_body("BadRequest")) if "/users/bad" in urls else None

    graph = BatchGraph(outer=outer)
    answers = await run(graph, [patch("good"), patch("bad"), patch("fine")])
    assert [a.status for a in answers] == [204, 400, 204]


async def test_an_outage_ends_the_run_after_some_tries_and_says_so() -> None:
    graph = BatchGraph(outer=lambda number: httpx.Response(503))
    sender = executor(graph)
    answers = await asyncio.wait_for(asyncio.gather(*(sender.send(patch(n)) for n in range(200))), 20)
    assert isinstance(sender.failure, TargetUnreachable)
    assert len(graph.batches) <= 40
    assert all(not a.ok for a in answers)
    await sender.close()


async def test_an_authority_that_is_down_for_a_moment_loses_nothing() -> None:
    tokens = FakeTokens()
    tokens.failure = TargetUnreachable("no token")
    graph = BatchGraph()
    sender = executor(graph, transport=transport(graph, tokens=tokens))
    future = sender.submit(create(1))
    await asyncio.sleep(0.005)
    tokens.failure = None
    answer = await asyncio.wait_for(future, 5)
    assert answer.ok
    assert not answer.lost
    await sender.close()


async def test_missing_consent_found_while_writing_ends_the_run() -> None:
    refused = httpx.Response(403, json=error_body("Authorization_RequestDenied"))
    sender = executor(BatchGraph(outer=lambda number: refused))
    answer = await sender.send(create(1))
    assert answer.stopped
    assert isinstance(sender.failure, TargetRefused)
    await sender.close()


# Stopping


async def test_stop_lets_what_is_under_way_finish_and_answers_the_rest() -> None:
    stopped = False
    started = asyncio.Event()

    async def script(request: httpx.Request) -> httpx.Response:
        started.set()
        await asyncio.sleep(0.02)
        return graph(request)

    graph = BatchGraph()
    sender = executor(script, stop=lambda: stopped, in_flight=1)
    futures = [sender.submit(patch(n)) for n in range(60)]
    await started.wait()
    stopped = True
    answers = await asyncio.wait_for(asyncio.gather(*futures), 5)
    assert len(graph.batches) == 1
    assert Counter(a.stopped for a in answers) == {False: 20, True: 40}
    assert all(a.ok for a in answers[:20])
    await sender.close()


async def test_stop_ends_a_wait_for_the_quota_and_a_wait_for_a_repeat() -> None:
    stopped = False
    graph = BatchGraph(
        lambda m, url, times: (409, error_body("Directory_ConcurrencyViolation"), {"Retry-After": "600"})
    )
    sender = executor(graph, stop=lambda: stopped, quota=20)
    futures = [sender.submit(patch(n)) for n in range(60)]
    await asyncio.sleep(0.05)
    assert not any(future.done() for future in futures)
    stopped = True
    answers = await asyncio.wait_for(asyncio.gather(*futures), 5)
    assert all(a.stopped for a in answers)
    await sender.close()


async def test_a_closed_executor_answers_what_was_queued() -> None:
    sender = executor(BatchGraph(), quota=1)
    futures = [sender.submit(patch(n)) for n in range(5)]
    await asyncio.wait_for(sender.close(), 5)
    assert all(future.done() for future in futures)


async def test_a_caller_that_goes_away_does_no_harm() -> None:
    graph = BatchGraph()
    sender = executor(graph)
    gone, kept = sender.submit(patch(1)), sender.submit(patch(2))
    gone.cancel()
    assert (await kept).ok
    assert [item["url"] for batch in graph.batches for item in batch] == ["/users/2"]
    await sender.close()


async def test_requests_are_counted() -> None:
    graph = BatchGraph(failing(1, 429, **{"Retry-After": "0.001"}))
    under = transport(graph)
    sender = executor(graph, transport=under)
    await asyncio.gather(sender.send(patch(1)), sender.send(Item(method="GET", url="/users/2", writes=0)))
    counts = under.counts
    assert (counts.writes, counts.reads, counts.refused, counts.batches) == (1, 1, 2, len(graph.batches))
    await sender.close()
