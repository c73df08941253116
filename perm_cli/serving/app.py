"""
The reward server: `/get_reward` for OpenRLHF, `/remote_rm` for slime, `/score` for everybody.

A trainer ends if its reward is no number, so the first two always answer with one: what the judge has not given within
the deadline is filled in and flagged. `/score` says what is missing instead. Requests wait for the judge's pace; with
too many waiting, `/score` is refused for a while, so that the server does not collapse under what it cannot do.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import islice
from time import monotonic
from typing import Any

import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, StreamingResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from pydantic_core import ErrorDetails

from perm_cli import __version__
from perm_cli.errors import SHOWN_PROBLEMS, PermError, RewardMissing, SettingsError
from perm_cli.findings import finding_of
from perm_cli.integrations.openrlhf import about_of, answer_of, items_of, without_specials
from perm_cli.integrations.rows import item_of
from perm_cli.reward import Item, Perm, Result
from perm_cli.serving.bodies import (
    Health,
    ItemIn,
    OpenRLHFRequest,
    OpenRLHFResponse,
    ScoreRequest,
    ScoreResponse,
    SlimeRequest,
    item_in,
    scored,
)
from perm_cli.serving.description import HEADERS, page_of
from perm_cli.serving.guard import Guard
from perm_cli.serving.limits import GRACE_S, Limits
from perm_cli.text import one_line
from perm_cli.training.settings import POLICY_TOKENS, RewardSettings

_log = logging.getLogger("perm_cli.serving")
_BUSY = 503
_BAD_JUDGE = 502
_RETRY_AFTER_S = 1
_TROUBLED_S = 60.0
_JSON = "application/json"
_LONGEST_NAME = 60  # of a field, as it is repeated


def _refusal(description: str) -> dict[str, Any]:
    """Describe a refusal, which is JSON whatever else a path answers with."""
    schema = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: _refusal("The token is missing or wrong."),
    403: _refusal("There is no token, and the Host header names another machine."),
    408: _refusal("The body does not come."),
    413: _refusal("The body is too large."),
}
_BUSIES: dict[int | str, dict[str, Any]] = {
    _BUSY: _refusal("Too many replies are waiting: ask again after Retry-After."),
}
_BAD_JUDGES: dict[int | str, dict[str, Any]] = {_BAD_JUDGE: _refusal("No call to the judge can succeed.")}


class _Desk:
    """Hold the judge, and count what it is asked."""

    def __init__(self, settings: RewardSettings, limits: Limits) -> None:
        self.perm = Perm(settings)
        recipe = settings.recipe
        if recipe.length_penalty and recipe.tokenizer == POLICY_TOKENS:
            raise SettingsError(
                f"tokenizer: {POLICY_TOKENS} found, expected cl100k_base or a tokenizer.json: over HTTP nobody counts"
            )
        self.perm.score_now([])  # opens judge, rubrics and run: a mistake in them is no request's
        self.caveat = self.perm.caveat
        self._trainers = Perm(replace(settings, on_missing="mean"))
        self.limits = limits
        self.waiting = 0
        self._trouble: tuple[float, str] | None = None
        self.registry = CollectorRegistry()
        self.replies = Counter("perm_replies", "Replies that were asked about.", ["path"], registry=self.registry)
        self.missing = Counter("perm_missing", "Replies without a reward.", ["path"], registry=self.registry)
        self.refused = Counter("perm_refused", "Requests that were refused, too many waiting.", registry=self.registry)
        self.latency = Histogram(
            "perm_latency_seconds",
            "Seconds until a request had its rewards.",
            ["path"],
            registry=self.registry,
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
        )
        Gauge("perm_waiting", "Replies that wait for the judge.", registry=self.registry).set_function(
            lambda: self.waiting
        )

    @property
    def trouble(self) -> str | None:
        """Return what was wrong when rewards were last asked for, unless that is long ago."""
        if self._trouble and monotonic() - self._trouble[0] < _TROUBLED_S:
            return self._trouble[1]
        return None

    def admit(self, items: int) -> None:
        """Refuse a request where too many replies wait already."""
        if self.waiting and self.waiting + items > self.limits.most_waiting:
            self.refused.inc()
            raise HTTPException(_BUSY, "too many replies wait for the judge", {"Retry-After": str(_RETRY_AFTER_S)})

    async def ask(
        self, path: str, items: Sequence[Item], step: int | None = None, within_s: float | None = None
    ) -> list[Result]:
        """Return results, those for trainers within a time; raise what `Perm.score` raises."""
        perm = self.perm if within_s is None else self._trainers
        self.waiting += len(items)
        self.replies.labels(path).inc(len(items))
        try:
            with self.latency.labels(path).time():
                results = await perm.score(items, step, within_s=within_s)
        except RewardMissing:
            raise
        except PermError as error:
            self._trouble = (monotonic(), str(error))
            raise
        finally:
            self.waiting -= len(items)
        self._trouble = None
        self.missing.labels(path).inc(sum(each.reward is None or each.filled for each in results))
        return results

    async def must(self, path: str, items: Sequence[Item]) -> list[Result]:
        """Return results with a reward each, whatever comes of the judge."""
        try:
            async with asyncio.timeout(self.limits.deadline_s + GRACE_S):
                return await self.ask(path, items, within_s=self.limits.deadline_s)
        except TimeoutError:
            why = f"no verdict within {self.limits.deadline_s:g} s"
        except PermError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - a trainer of days must not end of it
            why = f"{type(error).__name__}: {error}"
            _log.exception(path)
        _log.error("%s: %s", path, why)
        self.missing.labels(path).inc(len(items))
        return self._trainers.stand_ins(items, why)

    async def ask_or_refuse(self, items: Sequence[Item], step: int | None) -> list[Result]:
        """Return results, or answer that there is no judge."""
        try:
            return await self.ask("/score", items, step)
        except PermError as error:
            raise HTTPException(_BAD_JUDGE, str(error)) from error


class _Strict(Request):
    """Read JSON as it is defined: no NaN, no half of a surrogate pair, no nesting without end."""

    async def json(self) -> Any:
        """Return the body; raise `json.JSONDecodeError`."""
        return orjson.loads(await self.body())


class _Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            if self.body_field and _media_type(request) != _JSON:
                # A web page can send other types to any server, and no browser asks the server first.
                where = {
                    "type": "value_error",
                    "loc": ("header", "content-type"),
                    "input": None,
                    "ctx": {"error": f"expected {_JSON}"},
                }
                raise RequestValidationError([where])
            return await handler(_Strict(request.scope, request.receive))

        return strict


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def make_app(settings: RewardSettings, limits: Limits, token: str | None = None, host: str = "127.0.0.1") -> FastAPI:
    """
    Return the application (ASGI), its judge open until the server ends; raise `PermError` if it could not serve.

    Without a token, only requests for `host` or a loopback name are served.
    """
    desk = _Desk(settings, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(desk.perm.close)

    app = FastAPI(
        title="perm",
        version=__version__,
        lifespan=lifespan,
        summary="How empathetic is this reply?",
        docs_url=None,  # FastAPI's own pages load scripts from a content delivery network
        redoc_url=None,
    )
    app.router.route_class = _Route
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_middleware(Guard, token=token, most_bytes=limits.most_bytes, body_s=limits.body_s, host=host)
    _add_trainers(app, desk)
    _add_score(app, desk)
    _add_watching(app, desk, has_token=bool(token))
    _add_description(app)
    return app


async def _malformed(_: Request, error: Exception) -> Response:
    """Say what is wrong with a request, without repeating what somebody said in it."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it was registered for
    found = [_said(each) for each in islice(error.errors(), SHOWN_PROBLEMS)]
    return Response(orjson.dumps({"detail": found}), 422, media_type=_JSON)


def _said(detail: ErrorDetails) -> dict[str, Any]:
    place = [part if isinstance(part, int) else one_line(part, _LONGEST_NAME) for part in detail["loc"]]
    return {"type": detail["type"], "loc": place, "msg": finding_of(detail, quoting=False)[1]}


def _add_trainers(app: FastAPI, desk: _Desk) -> None:
    @app.post("/get_reward", summary="Rewards for OpenRLHF: numbers always", responses=_REFUSALS)
    async def get_reward(body: OpenRLHFRequest) -> OpenRLHFResponse:
        try:
            items = items_of(body.query, body.prompts, body.labels)
        except SettingsError as error:
            raise HTTPException(422, str(error)) from error
        results = await desk.must("/get_reward", items)
        return OpenRLHFResponse(**answer_of(results, desk.perm.formula.ends, desk.perm.signs))

    @app.post("/remote_rm", summary="A reward for slime: a number always", responses=_REFUSALS)
    async def remote_rm(body: SlimeRequest) -> float:
        try:
            item = item_of(body.prompt, without_specials(body.response), about_of(body.label))
        except SettingsError as error:
            raise HTTPException(422, str(error)) from error
        (result,) = await desk.must("/remote_rm", [item])
        return result.parts.reward_low if result.reward is None else result.reward


def _add_score(app: FastAPI, desk: _Desk) -> None:
    @app.post(
        "/score",
        summary="Rewards, and what they are made of",
        responses=_REFUSALS | _BUSIES | _BAD_JUDGES,
    )
    async def score(body: ScoreRequest) -> ScoreResponse:
        desk.admit(len(body.items))
        results = await desk.ask_or_refuse(list(map(item_in, body.items)), body.step)
        return ScoreResponse(results=[scored(place, each) for place, each in enumerate(results)])

    @app.post(
        "/score/stream",
        summary="The same, each as soon as it is known, a line of JSON each",
        response_class=_Lines,
        responses=_REFUSALS | _BUSIES,
    )
    async def stream(body: ScoreRequest) -> StreamingResponse:
        desk.admit(len(body.items))
        return _Lines(_lines(desk, body))


class _Lines(StreamingResponse):
    media_type = "application/x-ndjson"


async def _lines(desk: _Desk, body: ScoreRequest) -> AsyncIterator[bytes]:
    async def one(index: int, item: ItemIn) -> bytes:
        try:
            (result,) = await desk.ask("/score/stream", [item_in(item)], body.step)
        except PermError as error:
            return orjson.dumps({"index": index, "error": str(error)}, option=orjson.OPT_APPEND_NEWLINE)
        return scored(index, result).model_dump_json().encode() + b"\n"

    tasks = [asyncio.create_task(one(index, item)) for index, item in enumerate(body.items)]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()


class _Exposition(Response):
    media_type = CONTENT_TYPE_LATEST


def _add_watching(app: FastAPI, desk: _Desk, *, has_token: bool) -> None:
    @app.get(
        "/healthz", summary="Whether rewards can be had", responses={403: _REFUSALS[403], _BUSY: {"model": Health}}
    )
    async def healthz(response: Response) -> Health:
        trouble = desk.trouble
        if trouble:
            response.status_code = _BUSY
        # Whoever has no token may know that, and not where the judge is.
        status = trouble if trouble and not has_token else "unavailable" if trouble else "ok"
        return Health(status=status, judge=desk.perm.settings.judge.name, caveat=desk.caveat)

    @app.get(
        "/metrics",
        summary="Counts and times, for Prometheus",
        response_class=_Exposition,
        responses={status: _REFUSALS[status] for status in (401, 403)},
    )
    async def metrics() -> Response:
        return _Exposition(generate_latest(desk.registry))


def _add_description(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page_of(app.openapi()), headers=HEADERS)
