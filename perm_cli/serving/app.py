"""
The reward server: `/get_reward` for OpenRLHF, `/remote_rm` for slime, `/score` for everybody.

A trainer stops if its reward is not a number, so the first two always answer with numbers: a reward that the judge has
not given by the deadline gets a stand-in and is flagged. `/score` reports what is missing instead. Requests wait for
the judge's pace; if too many wait, `/score` is refused for a while, so that the queue cannot grow without bound.
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
_TROUBLED_S = 60.0  # an error older than this says nothing about the judge now
_JSON = "application/json"
_LONGEST_NAME = 60  # characters of a field's name in an error message


def _refusal(description: str) -> dict[str, Any]:
    """Return the OpenAPI description of a refusal, which is JSON whatever the path otherwise answers."""
    schema = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_REFUSALS: dict[int | str, dict[str, Any]] = {
    401: _refusal("The token is missing or wrong."),
    403: _refusal("There is no token, and the Host header names another machine."),
    408: _refusal("The body did not arrive in time."),
    413: _refusal("The body is too large."),
}
_BUSIES: dict[int | str, dict[str, Any]] = {
    _BUSY: _refusal("Too many replies are waiting: ask again after Retry-After."),
}
_BAD_JUDGES: dict[int | str, dict[str, Any]] = {_BAD_JUDGE: _refusal("No call to the judge can succeed.")}


class _Service:
    """The judge behind the server, with its queue, its counters, and its last error."""

    def __init__(self, settings: RewardSettings, limits: Limits) -> None:
        self.perm = Perm(settings)
        recipe = settings.recipe
        if recipe.length_penalty and recipe.tokenizer == POLICY_TOKENS:
            raise SettingsError(
                f"tokenizer: {POLICY_TOKENS} found, but requests carry no counts; use cl100k_base or a tokenizer.json"
            )
        self.perm.score_now([])  # opens judge, rubrics and run: their mistakes must not wait for a request
        self.caveat = self.perm.caveat
        self._trainers = Perm(replace(settings, on_missing="mean"))
        self.limits = limits
        self.waiting = 0
        self._trouble: tuple[float, str] | None = None
        self.registry = CollectorRegistry()
        self.replies = Counter("perm_replies", "Replies received.", ["path"], registry=self.registry)
        self.missing = Counter("perm_missing", "Replies without a reward.", ["path"], registry=self.registry)
        self.refused = Counter("perm_refused", "Requests refused because of too many waiting.", registry=self.registry)
        self.latency = Histogram(
            "perm_latency_seconds",
            "Seconds from a request to its rewards.",
            ["path"],
            registry=self.registry,
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
        )
        Gauge("perm_waiting", "Replies waiting for the judge.", registry=self.registry).set_function(
            lambda: self.waiting
        )

    @property
    def trouble(self) -> str | None:
        """Return the error of the last request for rewards, None if there was none or it is long ago."""
        if self._trouble and monotonic() - self._trouble[0] < _TROUBLED_S:
            return self._trouble[1]
        return None

    def admit(self, items: int) -> None:
        """Raise `HTTPException` if too many replies wait already."""
        # An idle server takes any request: one larger than the limit could never be answered otherwise.
        if self.waiting and self.waiting + items > self.limits.most_waiting:
            self.refused.inc()
            raise HTTPException(
                _BUSY,
                "too many replies are waiting; try again later",
                {"Retry-After": str(_RETRY_AFTER_S)},
            )

    async def ask(
        self, path: str, items: Sequence[Item], step: int | None = None, within_s: float | None = None
    ) -> list[Result]:
        """Return results, within `within_s` seconds if given; raise what `Perm.score` raises."""
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

    async def always(self, path: str, items: Sequence[Item]) -> list[Result]:
        """Return results that all have a reward, whatever happens to the judge."""
        try:
            async with asyncio.timeout(self.limits.deadline_s + GRACE_S):
                return await self.ask(path, items, within_s=self.limits.deadline_s)
        except TimeoutError:
            why = f"no verdict within {self.limits.deadline_s:g} s"
        except PermError as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - a bug here must not end a training run of days
            why = f"{type(error).__name__}: {error}"
            _log.exception(path)
        _log.error("%s: %s", path, why)
        self.missing.labels(path).inc(len(items))
        return self._trainers.stand_ins(items, why)

    async def ask_or_refuse(self, items: Sequence[Item], step: int | None) -> list[Result]:
        """Return results; raise `HTTPException` if the judge cannot be used."""
        try:
            return await self.ask("/score", items, step)
        except PermError as error:
            raise HTTPException(_BAD_JUDGE, str(error)) from error


class _Strict(Request):
    """A request whose JSON is read strictly: no NaN, no unpaired surrogates, no unlimited nesting."""

    async def json(self) -> Any:
        """Return the parsed body; raise `json.JSONDecodeError` if it is not valid JSON."""
        return orjson.loads(await self.body())


class _Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            if self.body_field and _media_type(request) != _JSON:
                # Browsers send other media types to any server without asking it first (CORS preflight), so any page
                # could post to this one.
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
    Return the ASGI application, whose judge is open until the server ends; raise `PermError` for bad settings.

    Without a token, only requests whose Host header is `host` or a loopback name are served.
    """
    service = _Service(settings, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.perm.close)

    app = FastAPI(
        title="perm",
        version=__version__,
        lifespan=lifespan,
        summary="How empathetic is this reply?",
        docs_url=None,  # FastAPI's own pages load scripts from another host
        redoc_url=None,
    )
    app.router.route_class = _Route
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_middleware(Guard, token=token, most_bytes=limits.most_bytes, body_s=limits.body_s, host=host)
    _add_trainers(app, service)
    _add_score(app, service)
    _add_watching(app, service, has_token=bool(token))
    _add_description(app)
    return app


async def _malformed(_: Request, error: Exception) -> Response:
    """Return the response to a malformed request, without values from the request: they may be private."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it was registered for
    found = [_said(each) for each in islice(error.errors(), SHOWN_PROBLEMS)]
    return Response(orjson.dumps({"detail": found}), 422, media_type=_JSON)


def _said(detail: ErrorDetails) -> dict[str, Any]:
    place = [part if isinstance(part, int) else one_line(part, _LONGEST_NAME) for part in detail["loc"]]
    return {"type": detail["type"], "loc": place, "msg": finding_of(detail, quoting=False)[1]}


def _add_trainers(app: FastAPI, service: _Service) -> None:
    @app.post("/get_reward", summary="Rewards for OpenRLHF: always numbers", responses=_REFUSALS)
    async def get_reward(body: OpenRLHFRequest) -> OpenRLHFResponse:
        try:
            items = items_of(body.query, body.prompts, body.labels)
        except SettingsError as error:
            raise HTTPException(422, str(error)) from error
        results = await service.always("/get_reward", items)
        return OpenRLHFResponse(**answer_of(results, service.perm.formula.ends, service.perm.signs))

    @app.post("/remote_rm", summary="A reward for slime: always a number", responses=_REFUSALS)
    async def remote_rm(body: SlimeRequest) -> float:
        try:
            item = item_of(body.prompt, without_specials(body.response), about_of(body.label))
        except SettingsError as error:
            raise HTTPException(422, str(error)) from error
        (result,) = await service.always("/remote_rm", [item])
        return result.parts.reward_low if result.reward is None else result.reward


def _add_score(app: FastAPI, service: _Service) -> None:
    @app.post(
        "/score",
        summary="Rewards with their scores and rationales",
        responses=_REFUSALS | _BUSIES | _BAD_JUDGES,
    )
    async def score(body: ScoreRequest) -> ScoreResponse:
        service.admit(len(body.items))
        results = await service.ask_or_refuse(list(map(item_in, body.items)), body.step)
        return ScoreResponse(results=[scored(place, each) for place, each in enumerate(results)])

    @app.post(
        "/score/stream",
        summary="The same as JSON Lines, each result as soon as it is known",
        response_class=_Lines,
        responses=_REFUSALS | _BUSIES,
    )
    async def stream(body: ScoreRequest) -> StreamingResponse:
        service.admit(len(body.items))
        return _Lines(_lines(service, body))


class _Lines(StreamingResponse):
    media_type = "application/x-ndjson"


async def _lines(service: _Service, body: ScoreRequest) -> AsyncIterator[bytes]:
    async def one(index: int, item: ItemIn) -> bytes:
        try:
            (result,) = await service.ask("/score/stream", [item_in(item)], body.step)
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


def _add_watching(app: FastAPI, service: _Service, *, has_token: bool) -> None:
    @app.get(
        "/healthz", summary="Whether the judge can be used", responses={403: _REFUSALS[403], _BUSY: {"model": Health}}
    )
    async def healthz(response: Response) -> Health:
        trouble = service.trouble
        if trouble:
            response.status_code = _BUSY
        # Open without the token, so the error itself, which may name the judge's address, is shown only without tokens.
        status = trouble if trouble and not has_token else "unavailable" if trouble else "ok"
        return Health(status=status, judge=service.perm.settings.judge.name, caveat=service.caveat)

    @app.get(
        "/metrics",
        summary="Counts and times, for Prometheus",
        response_class=_Exposition,
        responses={status: _REFUSALS[status] for status in (401, 403)},
    )
    async def metrics() -> Response:
        return _Exposition(generate_latest(service.registry))


def _add_description(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(page_of(app.openapi()), headers=HEADERS)
