"""Searches that come at once are answered by one pass over the library, on the event loop."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx2 as httpx
import pytest

from jaxsim.library.search import query, scanning
from jaxsim.library.service import stepping
from jaxsim.library.service.app import create_app
from jaxsim.library.store import Store
from tests.helpers.libraries import random_vectors

Bodies = Sequence[dict[str, Any]]


@pytest.fixture
def library(make_store: Callable[..., Store]) -> Store:
    made = make_store(random_vectors(600), [{"tempo": 60.0 + i % 100} for i in range(600)])
    made.warm()
    return made


def test_before_it_is_warm_a_thread_searches(make_store: Callable[..., Store]) -> None:
    """For it reads what the later ones have."""
    cold = make_store(random_vectors(600))
    body = {"like": [cold.ids[7]], "top": 5}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stepping, "run", None)
        (found,) = answers(cold, [body])
    cold.warm()
    assert scores(found) == scores(*answers(cold, [body]))


def answers(library: Store, bodies: Bodies) -> list[dict[str, Any]]:
    """What the service answers to searches that are all sent before the first one is answered."""
    app = create_app(library)

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            asked = [client.post("/api/search", json=body) for body in bodies]
            return await asyncio.gather(*asked)

    found = asyncio.run(ask())
    assert [each.status_code for each in found] == [200] * len(bodies), found[0].text
    return [json.loads(each.content) for each in found]


def scores(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(hit["track"]["id"], hit["score"]) for hit in answer["hits"]]


def test_those_that_come_during_a_pass_are_answered_by_the_next_one(
    library: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    together, answer = scanning._together, scanning._together._answer_all

    def hold_the_first(questions: list[Any]) -> Sequence[Any]:
        passes.append(len(questions))
        end = time.monotonic() + 20
        while len(passes) == 1 and len(together._waiting) < 12 - passes[0]:
            assert time.monotonic() < end, "they wait for each other"
            time.sleep(0.001)
        return answer(questions)

    monkeypatch.setattr(together, "_answer_all", hold_the_first)
    found = answers(library, [{"like": [library.ids[row]], "top": 5} for row in range(12)])
    assert len(passes) <= 2 and sum(passes) == 12
    for row, answer_of_row in enumerate(found):
        alone = query.search(library, [row], top=5, fold=True)
        assert scores(answer_of_row) == [(library.ids[hit.row], hit.score) for hit in alone]


@pytest.mark.parametrize(
    "options, threads",
    [({}, 0), ({"top": 200}, 0), ({"where": "tempo>100"}, 1)],
)
def test_a_thread_is_only_for_what_may_take_long(
    library: Store, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], threads: int
) -> None:
    """Which is the same condition only once."""
    ran: list[str] = []
    seed_vector = query.seed_vector

    def noted(*arguments: Any) -> Any:
        ran.append(threading.current_thread().name)
        return seed_vector(*arguments)

    monkeypatch.setattr(query, "seed_vector", noted)
    body = {"like": [library.ids[3]]} | options
    for expected in (threads, 0):
        ran.clear()
        answers(library, [body])
        own = threading.current_thread().name
        assert (ran[0] != own, ran[-1] != own) == (bool(expected), False)
