"""Writes without a body, which a $batch does not take: sent by themselves, under the same rules."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from graph_kit import BatchGraph, error_body, executor, patch

from sds_daemon.errors import TargetUnreachable
from sds_daemon.targets.entra.batch import Answer, Item

RESTORE = "/directory/deletedItems/g1/restore"


class Graph(BatchGraph):
    """Answers single requests too: `single(times)` gives the response to the n-th."""

    def __init__(self, *single: httpx.Response | Exception) -> None:
        super().__init__()
        self._single = list(single)
        self.alone: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/$batch"):
            return super().__call__(request)
        self.alone.append(request)
        answer = self._single.pop(0) if len(self._single) > 1 else self._single[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def item() -> Item:
    return Item(method="POST", url=RESTORE, kind="class.restore", alone=True)


def refused(status: int, code: str = "", **headers: str) -> httpx.Response:
    return httpx.Response(status, json=error_body(code, "no"), headers=headers)


async def run(graph: Graph, *items: Item) -> list[Answer]:
    sent: list[str] = []
    sender = executor(graph, before_send=lambda batch: sent.extend(each.url for each in batch))
    answers = await asyncio.gather(*(sender.send(each) for each in items))
    await sender.close()
    assert set(sent) == {each.url for each in items}, "each intention is stored before it is sent"
    return list(answers)


async def test_goes_beside_the_batch_without_a_body() -> None:
    graph = Graph(httpx.Response(200, json={"id": "g1"}))
    answers = await run(graph, patch(1), item(), patch(2))
    assert [answer.ok for answer in answers] == [True] * 3
    assert json.loads(answers[1].body) == {"id": "g1"}
    assert [request.content for request in graph.alone] == [b""]
    assert all(each["method"] == "PATCH" for batch in graph.batches for each in batch)


@pytest.mark.parametrize(
    "first",
    [refused(429, "TooManyRequests", **{"Retry-After": "0.01"}), refused(503), refused(504), httpx.ReadError("x")],
)
async def test_refusals_that_pass_are_repeated(first: httpx.Response | Exception) -> None:
    graph = Graph(first, httpx.Response(200, json={"id": "g1"}))
    (answer,) = await run(graph, item())
    assert answer.ok
    assert answer.attempts == 2


async def test_a_refusal_for_good_is_the_answer() -> None:
    (answer,) = await run(Graph(refused(404, "Request_ResourceNotFound")), item())
    assert (answer.status, answer.attempts) == (404, 1)


async def test_a_tenant_that_cannot_be_reached_ends_the_run() -> None:
    graph = Graph(httpx.ConnectError("no"))
    sender = executor(graph)
    answer = await sender.send(item())
    await sender.close()
    assert answer.stopped
    assert isinstance(sender.failure, TargetUnreachable)
