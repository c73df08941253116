"""Judges over their three routes, each against what it really meets: an HTTP server, LiteLLM, llama.cpp."""

import asyncio
import gzip
import json
import socket
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from perm_cli.errors import CallFailed, JudgeUnusable, SettingsError
from perm_cli.judges.chat import ChatJudge
from perm_cli.judges.headers import retry_after_s
from perm_cli.judges.judge import Reply, Request
from perm_cli.judges.limiter import Limiter
from perm_cli.judges.pace import Pace
from perm_cli.judges.retrying import RetryPolicy, retrying
from perm_cli.judges.route_compatible import HttpTransport, endpoint_of, is_loopback
from perm_cli.judges.route_embedded import TOO_SMALL, missing_parts, weights_of
from perm_cli.judges.routes import default_concurrency, gives_logprobs, identity_of, missing, open_judge, route_of
from perm_cli.judges.settings import JudgeSettings, Price
from perm_cli.prompts.book import Prompt
from perm_cli.prompts.rubrics import Pack
from perm_cli.ratings.rating import schema_of
from perm_cli.ratings.verdicts import read_verdict
from tests.loopback import Answer, Loopback, loopback, refusal, verdict

KEY = "sk-never-to-be-seen"


@pytest.fixture
def request_(pack: Pack) -> Request:
    """Return a request about reception."""
    return Request(prompt=Prompt("How is it received?", "| hello"), schema=schema_of(pack.dimensions["reception"]))


@dataclass
class Time:
    """Pass when somebody sleeps, and keep how long."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        """Sleep for nothing."""
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        """Return the time."""
        return self.now


def ask(
    server: Loopback,
    request: Request,
    time: Time | None = None,
    calls: int = 1,
    **settings: Any,
) -> tuple[Reply, ChatJudge]:
    """Ask a judge at the server and return its last reply."""
    judge_settings = JudgeSettings(name="j", model="openai/m", base_url=server.url, **settings)

    async def run() -> tuple[Reply, ChatJudge]:
        transport = HttpTransport(server.url, "m", KEY, judge_settings.timeout_s or 5)
        passing = time or Time()
        limiter = Limiter(Pace(4), clock=lambda: passing.now, sleep=passing.sleep)
        judge = ChatJudge(judge_settings, transport, limiter, Price(input=1, output=2, cached=0.5))
        try:
            replies = [await judge.ask(request) for _ in range(calls)]
        finally:
            await transport.close()
        return replies[-1], judge

    return asyncio.run(run())


def ask_all(
    server: Loopback, requests: Sequence[Request], *, at_once: bool = False, window: int = 32
) -> tuple[list[Reply | CallFailed], ChatJudge]:
    """Ask a judge at the server and return what came of each call, waiting for nothing between tries."""

    async def run() -> tuple[list[Reply | CallFailed], ChatJudge]:
        transport = HttpTransport(server.url, "m", KEY, 5)
        limiter = Limiter(Pace(window), clock=(time := Time()).clock, sleep=time.sleep)
        judge = ChatJudge(JudgeSettings(name="j", model="openai/m", base_url=server.url), transport, limiter)

        async def one(request: Request) -> Reply | CallFailed:
            try:
                return await judge.ask(request)
            except CallFailed as failure:
                return failure

        try:
            if at_once:
                return list(await asyncio.gather(*map(one, requests))), judge
            return [await one(request) for request in requests], judge
        finally:
            await transport.close()

    return asyncio.run(run())


def test_a_reply_carries_text_tokens_cost_and_the_model_that_served(request_: Request) -> None:
    """Everything the record of a rating needs comes out of one answer."""
    with loopback(lambda _: Answer(text='{"rationale": "x", "score": 4}')) as server:
        reply, _ = ask(server, request_)

    assert reply.text == '{"rationale": "x", "score": 4}'
    assert (reply.tokens_in, reply.tokens_out, reply.cached_tokens) == (100, 10, 60)
    # 40 fresh tokens at 1, 60 cached at 0.5 and 10 out at 2 dollars a million
    assert reply.cost_usd == pytest.approx((40 + 30 + 20) / 1e6)
    assert reply.model_served == "m-served"


def test_the_static_part_is_sent_first_and_the_schema_with_it(request_: Request) -> None:
    """Providers cache prefixes, so the instructions must come before the dialogue."""
    with loopback() as server:
        ask(server, request_)

    sent = server.requests[0]
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["messages"][0]["content"] == "How is it received?"
    assert list(sent["response_format"]["json_schema"]["schema"]["properties"]) == ["rationale", "score"]
    assert sent["temperature"] == 0.3
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("refused", "forms"),
    [
        pytest.param(("json_schema",), ["json_schema", "json_object"], id="no-schema"),
        pytest.param(("json_schema", "json_object"), ["json_schema", "json_object", None], id="plain-text-only"),
    ],
)
def test_the_form_of_the_verdict_is_found_by_trying_and_kept(
    request_: Request, refused: tuple[str, ...], forms: list[str | None]
) -> None:
    """An endpoint without structured output costs one refused call a step, not one a rating."""

    def answering(body: dict[str, Any]) -> Answer:
        form = (body.get("response_format") or {}).get("type")
        return refusal(400, f"response_format {form} is not supported") if form in refused else verdict(body)

    with loopback(answering) as server:
        ask(server, request_, calls=2)

    seen = [(sent.get("response_format") or {}).get("type") for sent in server.requests]
    assert seen == [*forms, forms[-1]]


@pytest.mark.parametrize(
    ("parameter", "message", "status"),
    [
        pytest.param("temperature", "Unsupported value: 'temperature' does not support 0.3", 400, id="temperature"),
        pytest.param("seed", "extra fields not permitted: seed", 422, id="seed"),
        pytest.param("top_logprobs", "logprobs is not supported with this model", 400, id="logprobs"),
        pytest.param("top_p", "`top_p` is not allowed together with other samplers", 400, id="params-of-the-user"),
    ],
)
def test_a_refused_parameter_is_dropped_and_recorded(
    request_: Request, parameter: str, message: str, status: int
) -> None:
    """Reasoning judges refuse sampling parameters; the run goes on and the record says so."""
    request = Request(prompt=request_.prompt, schema=request_.schema, seed=1)

    def answering(body: dict[str, Any]) -> Answer:
        return refusal(status, message) if parameter in body else verdict(body)

    with loopback(answering) as server:
        _, judge = ask(server, request, logprobs=True, params={"top_p": 0.9})

    assert parameter in judge.effective()["dropped"]
    assert parameter not in server.requests[-1]


def test_a_reasoning_judge_is_given_its_own_name_for_the_token_limit(request_: Request) -> None:
    """OpenAI's reasoning models take max_completion_tokens only."""

    def answering(body: dict[str, Any]) -> Answer:
        hint = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
        return refusal(400, hint) if "max_tokens" in body else verdict(body)

    with loopback(answering) as server:
        ask(server, request_)

    assert server.requests[-1]["max_completion_tokens"] == 1024


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        pytest.param(401, f"Incorrect API key provided: {KEY}", "does not accept the API key", id="wrong-key"),
        pytest.param(403, "forbidden", "does not accept the API key", id="forbidden"),
        pytest.param(404, "model m not found", "has no such model or path", id="unknown-model"),
        pytest.param(402, "pay first", "no credit left", id="no-credit"),
        pytest.param(429, "You exceeded insufficient_quota", "no credit left", id="no-quota"),
        pytest.param(307, "moved", "redirects to", id="redirect"),
    ],
)
def test_what_would_fail_every_call_stops_at_the_first(request_: Request, status: int, message: str, said: str) -> None:
    """A wrong key must not be tried a thousand times, and must not be repeated in the message."""
    with (
        loopback(lambda _: refusal(status, message, Location="http://elsewhere.test/v1")) as server,
        pytest.raises(JudgeUnusable, match=said) as raised,
    ):
        ask(server, request_)

    assert len(server.requests) == 1
    assert KEY not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_what_may_pass_is_tried_again(request_: Request, status: int) -> None:
    """Two bad answers and a good one make a good one, with three attempts on the record."""
    left = [refusal(status, "not now"), refusal(status, "not now")]

    with loopback(lambda body: left.pop() if left else verdict(body)) as server:
        reply, _ = ask(server, request_)

    assert reply.attempts == 3


def test_retry_after_is_obeyed(request_: Request) -> None:
    """The endpoint knows best when it will listen again."""
    left = [refusal(429, "slow down", **{"Retry-After": "17"})]
    time = Time()

    with loopback(lambda body: left.pop() if left else verdict(body)) as server:
        ask(server, request_, time)

    assert sum(time.slept) >= 17


def test_a_wait_beyond_patience_stops_the_run_and_is_no_hang(request_: Request) -> None:
    """A day of waiting is the user's decision."""
    with (
        loopback(lambda _: refusal(429, "tomorrow", **{"Retry-After": "86400"})) as server,
        pytest.raises(JudgeUnusable, match="asks to wait 86,400 s: tomorrow"),
    ):
        ask(server, request_)

    assert len(server.requests) == 1


def test_attempts_have_a_limit(request_: Request) -> None:
    """An endpoint that never recovers ends as a failed call that says how often it was tried."""
    with loopback(lambda _: refusal(500, "fell over")) as server, pytest.raises(CallFailed) as raised:
        ask(server, request_)

    assert raised.value.attempts == len(server.requests) == RetryPolicy().attempts


@pytest.mark.parametrize(
    ("answer", "kind", "transient"),
    [
        pytest.param(refusal(400, "maximum context length is 8192"), "too_long", False, id="too-long"),
        pytest.param(refusal(413, "Payload Too Large"), "too_long", False, id="too-large"),
        pytest.param(refusal(429, "Request too large for m on tokens per min"), "too_long", False, id="too-large-429"),
        pytest.param(refusal(429, "TPM: Limit 30,000, Requested 41234"), "too_long", False, id="beyond-the-limit"),
        pytest.param(refusal(400, "content management policy"), "refused", False, id="moderated"),
        pytest.param(refusal(400, "Content Exists Risk"), "refused", False, id="moderated-deepseek"),
        pytest.param(
            refusal(400, "Output blocked by content filtering policy"), "refused", False, id="moderated-claude"
        ),
        pytest.param(
            refusal(400, "Input data may contain inappropriate content."), "refused", False, id="moderated-qwen"
        ),
        pytest.param(
            refusal(400, "Invalid prompt: your prompt was flagged as potentially violating our usage policy."),
            "refused",
            False,
            id="moderated-openai",
        ),
        pytest.param(refusal(403, "Your input was flagged by moderation"), "refused", False, id="moderated-router"),
        pytest.param(Answer(body=b'{"choices": []}'), "malformed", True, id="no-choices"),
        pytest.param(Answer(body=b'{"error": {"message": "up", "code": 502}}'), "server", True, id="error-in-success"),
    ],
)
def test_a_call_that_fails_says_what_kind_of_failure(
    request_: Request, answer: Answer, kind: str, transient: bool
) -> None:
    """A resumed run asks again for what may pass and for nothing else."""
    with loopback(lambda _: answer) as server, pytest.raises(CallFailed) as raised:
        ask(server, request_)

    assert (raised.value.kind, raised.value.transient) == (kind, transient)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(drop=True), id="dropped-connection"),
        pytest.param(Answer(body=b"<html>Welcome</html>", headers={"Content-Type": "text/html"}), id="html"),
    ],
)
def test_an_address_that_never_answered_properly_stops_the_run(request_: Request, answer: Answer) -> None:
    """Before anything ever answered, the address is the likelier mistake than the weather."""
    with loopback(lambda _: answer) as server, pytest.raises(JudgeUnusable, match=r"http://127\.0\.0\.1"):
        ask(server, request_)


def test_nobody_there_stops_the_run(request_: Request) -> None:
    """A port where nothing listens is named in one line."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        server = Loopback(url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")

        with pytest.raises(JudgeUnusable, match="no connection"):
            ask(server, request_)


def test_a_slow_answer_is_a_timeout(request_: Request) -> None:
    """Each attempt has its own limit; the failure says how long it was."""
    with loopback(latency_s=1.0) as server, pytest.raises(CallFailed, match=r"no answer within 0\.05 s") as raised:
        ask(server, request_, timeout_s=0.05)

    assert raised.value.kind == "timeout"


def test_thinking_and_refusal_fields_are_no_text(request_: Request) -> None:
    """A provider's own fields for them are read as what they are."""
    message = {"content": None, "refusal": "I will not.", "reasoning_content": "Score: 5"}

    with loopback(lambda _: Answer(message=message)) as server:
        reply, _ = ask(server, request_)

    assert (reply.text, reply.finish_reason) == ("", "refusal")


@pytest.mark.parametrize(
    ("model", "base_url", "url", "served", "key_env"),
    [
        pytest.param("openai/gpt", None, "https://api.openai.com/v1", "gpt", "OPENAI_API_KEY", id="openai"),
        pytest.param("openai/gpt", "http://h/v1", "http://h/v1", "gpt", None, id="key-stays-home"),
        pytest.param("org/model-7b", "http://h/v1", "http://h/v1", "org/model-7b", None, id="name-of-a-server"),
        pytest.param("hosted_vllm/org/m", None, "http://127.0.0.1:8000/v1", "org/m", "HOSTED_VLLM_API_KEY", id="vllm"),
        pytest.param("ollama_chat/m", None, "http://127.0.0.1:11434/v1", "m", "OLLAMA_API_KEY", id="ollama"),
    ],
)
def test_endpoints(model: str, base_url: str | None, url: str, served: str, key_env: str | None) -> None:
    """Where a judge is asked, and which key it is sent."""
    judge = JudgeSettings(name="j", model=model, base_url=base_url)

    endpoint = endpoint_of(judge)

    assert route_of(judge).where(judge) == url
    assert (endpoint.url, endpoint.model, endpoint.key_env) == (url, served, key_env)


@pytest.mark.parametrize(
    ("model", "base_url", "where"),
    [
        pytest.param("anthropic/claude", None, "the provider's address, by LiteLLM", id="own-language"),
        pytest.param("anthropic/claude", "http://h", "http://h", id="own-language-elsewhere"),
        pytest.param("openai/", None, "the provider's address, by LiteLLM", id="no-model"),
        pytest.param("local", None, "on this machine", id="embedded"),
        pytest.param("local:any.gguf", "http://h/v1", "on this machine", id="embedded-weights"),
        pytest.param("locally", "http://h/v1", "http://h/v1", id="a-name-that-begins-like-ours"),
        pytest.param("baseline", None, "on this machine", id="counter"),
    ],
)
def test_routes(model: str, base_url: str | None, where: str) -> None:
    """Which way a judge goes; what speaks its own language is asked by the name that LiteLLM knows, and with no key."""
    judge = JudgeSettings(name="j", model=model, base_url=base_url)

    assert route_of(judge).where(judge) == where
    assert route_of(judge).served_as(judge) == model
    assert route_of(judge).pinned(judge).api_key_env is None


def test_what_a_judge_lacks_is_said_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line can be pasted into a shell."""
    settings = JudgeSettings(name="j", model="openai/gpt-4o-mini")

    before = missing(settings)
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")

    assert before == ["the API key: export OPENAI_API_KEY=…"]
    assert missing(settings) == []


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:8/v1", True),
        ("http://a.b", False),
        ("http://[::1", False),
    ],
)
def test_loopback_addresses_are_known(url: str, own: bool) -> None:
    """A proxy in the environment must not be asked for this machine itself."""
    assert is_loopback(url) is own


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("-1", 0.0), ("inf", 86_400.0), ("soon", None), ("", None)])
def test_retry_after_is_read_whatever_it_says(text: str, seconds: float | None) -> None:
    """A header nobody can read asks for nothing."""
    assert retry_after_s({"Retry-After": text}) == seconds


def test_retry_after_may_be_a_date() -> None:
    """HTTP allows both forms; a date that has passed asks for no wait."""
    assert retry_after_s({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0


# --- LiteLLM, the real one, against a server that speaks Anthropic's messages ---


def anthropic(server: Loopback, request: Request, **settings: Any) -> tuple[Reply, ChatJudge]:
    """Ask a judge that speaks Anthropic's own language at the server."""

    async def run() -> tuple[Reply, ChatJudge]:
        address = server.url.removesuffix("/v1")
        usual = {"name": "j", "model": "anthropic/claude-sonnet-4-5", "api_key_env": "JUDGE_KEY"}
        judge_settings = JudgeSettings(base_url=address, **usual | settings)
        async with open_judge(judge_settings) as judge:
            return await judge.ask(request), judge

    return asyncio.run(run())


@pytest.fixture
def judge_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a key where the judge looks for it."""
    monkeypatch.setenv("JUDGE_KEY", KEY)


@pytest.mark.usefixtures("judge_key")
class TestLiteLLM:
    """LiteLLM takes seconds to import, so these share a process."""

    def test_a_provider_that_is_not_openai_shaped_judges(self, request_: Request, pack: Pack) -> None:
        """The same schema and the same reader serve a judge with another protocol."""
        with loopback(lambda _: Answer(text=json.dumps({"rationale": "x", "score": 3}))) as server:
            reply, _ = anthropic(server, request_)

        assert read_verdict(reply.text, pack.dimensions["reception"]).score == 3
        assert (reply.tokens_in, reply.tokens_out) == (100, 10)
        assert server.headers[0]["x-api-key"] == KEY

    def test_a_parameter_the_provider_has_no_word_for_is_recorded(self, request_: Request) -> None:
        """Dropping is LiteLLM's, saying so is ours."""
        request = Request(prompt=request_.prompt, schema=request_.schema, seed=3)

        with loopback(lambda _: Answer(text="{}")) as server:
            _, judge = anthropic(server, request)

        assert judge.effective()["dropped"] == ["seed"]
        assert "seed" not in server.requests[0]

    def test_a_wrong_key_stops_the_run_without_being_repeated(self, request_: Request) -> None:
        """One request, one line, no key."""
        body = {"type": "error", "error": {"type": "authentication_error", "message": f"invalid x-api-key {KEY}"}}

        with (
            loopback(lambda _: Answer(status=401, body=json.dumps(body).encode())) as server,
            pytest.raises(JudgeUnusable, match="does not accept the API key") as raised,
        ):
            anthropic(server, request_)

        assert len(server.requests) == 1
        assert KEY not in str(raised.value)

    def test_the_usual_key_is_not_sent_to_an_address_of_ones_own(
        self, request_: Request, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is meant for the provider; the variable for another host is for the user to name."""
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.delenv("JUDGE_KEY")

        with loopback(lambda _: Answer(text="{}")) as server:
            anthropic(server, request_, api_key_env=None)

        assert server.headers
        assert KEY not in str([dict(each) for each in server.headers])

    def test_nobody_there_is_said_as_soon_as_on_the_other_route(self, request_: Request) -> None:
        """LiteLLM takes a lost connection for a server's error with most providers."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            server = Loopback(url=f"http://127.0.0.1:{free.getsockname()[1]}/v1")

            with pytest.raises(JudgeUnusable, match="no connection: Cannot connect"):
                anthropic(server, request_)

    @pytest.mark.parametrize(
        ("model", "gives"), [("anthropic/claude-sonnet-4-5", False), ("gemini/gemini-2.5-flash", True)]
    )
    def test_a_provider_without_log_probabilities_is_known(self, model: str, gives: bool) -> None:
        """Expectations are refused before they are paid for."""
        assert gives_logprobs(JudgeSettings(name="j", model=model)) is gives

    def test_one_layer_retries(self, request_: Request) -> None:
        """LiteLLM's own retries would multiply ours."""
        body = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

        with (
            loopback(lambda _: Answer(status=529, body=json.dumps(body).encode())) as server,
            retrying(RetryPolicy(attempts=1)),
            pytest.raises(CallFailed) as raised,
        ):
            anthropic(server, request_)

        assert raised.value.transient
        assert len(server.requests) == 1

    def test_a_provider_nobody_knows_is_a_line(self, request_: Request) -> None:
        """A typing mistake in the provider's name is the user's to mend."""

        async def run() -> None:
            async with open_judge(JudgeSettings(name="j", model="antropic/claude")) as judge:
                await judge.ask(request_)

        with pytest.raises(JudgeUnusable, match="names no provider"):
            asyncio.run(run())


# --- the embedded judge, with the real weights ---

needs_engine = pytest.mark.skipif(
    bool(missing_parts("local")), reason=f"the embedded judge is not installed: {missing_parts('local')}"
)


@needs_engine
class TestEmbedded:
    """llama.cpp loads the weights once a process."""

    def test_the_real_weights_give_a_verdict_that_fits_the_schema(self, request_: Request, pack: Pack) -> None:
        """The whole route works offline: engine, grammar, log-probabilities, prefix cache, reader."""
        settings = JudgeSettings(name="local", model="local", temperature=0.0, logprobs=True)

        async def run() -> list[Reply]:
            async with open_judge(settings) as judge:
                return [await judge.ask(request_) for _ in range(2)]

        first, second = asyncio.run(run())
        verdict_ = read_verdict(first.text, pack.dimensions["reception"], first.finish_reason)

        assert verdict_.status == "scored"
        assert first.tokens
        assert second.cached_tokens > 0
        assert "/" not in first.model_served

    def test_the_shipped_weights_come_with_a_caveat(self) -> None:
        """Nobody should believe a judge of this size."""
        assert weights_of("local").caveat == TOO_SMALL

    def test_one_call_at_a_time(self) -> None:
        """A second slot would read every rubric again."""
        assert default_concurrency(JudgeSettings(name="local", model="local")) == 1

    def test_identity_is_the_weights_and_not_their_place(self) -> None:
        """A moved file is the same judge."""
        assert "/" not in str(identity_of(JudgeSettings(name="local", model="local"))["model"])


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    """Another file given by mistake gets a line and not a crash of the engine."""
    path = tmp_path / "notes.gguf"
    path.write_text("not a model")

    with pytest.raises(SettingsError, match="not a GGUF file"):
        weights_of(f"local:{path}")


def test_weights_that_are_not_there_are_named() -> None:
    """The judge's name holds the path that was looked for."""
    assert missing_parts("local:/no/such.gguf")[-1].startswith("/no/such.gguf: no such file")


def test_a_request_too_large_for_the_limit_is_asked_once(request_: Request) -> None:
    """It is a 429 that no waiting mends, so the pace of the others is none of its business."""
    large = replace(request_, prompt=Prompt("How is it received?", "| very long"))
    message = "Request too large: Limit 30000, Requested 41234. The input or output tokens must be reduced."
    seen: list[float] = []

    def answering(body: dict[str, Any]) -> Answer:
        return refusal(429, message) if "very long" in json.dumps(body) else verdict(body)

    with loopback(answering) as server:

        async def run() -> None:
            transport = HttpTransport(server.url, "m", KEY, 5)
            judge = ChatJudge(JudgeSettings(name="j", model="openai/m"), transport, limiter := Limiter(Pace(4)))
            with pytest.raises(CallFailed, match="too large"):
                await judge.ask(large)
            await judge.ask(request_)
            seen.append(limiter.pace.window)
            await transport.close()

        asyncio.run(run())

    assert (len(server.requests), seen) == (2, [4.0])


QUOTED = {"error": {"message": "Provider returned error", "code": 400, "metadata": {"provider_name": "X", "raw": "?"}}}


def quoting(raw: object) -> Answer:
    """Return what a router makes of a provider's refusal."""
    error: dict[str, Any] = QUOTED["error"] | {"metadata": {"provider_name": "X", "raw": raw}}
    return Answer(status=400, body=json.dumps({"error": error}).encode())


@pytest.mark.parametrize(
    ("raw", "dropped", "form"),
    [
        pytest.param('{"error": {"message": "schema: keyword not supported"}}', [], "json", id="schema"),
        pytest.param(
            '{"error": {"message": "Unsupported value", "param": "temperature"}}', ["temperature"], "schema", id="param"
        ),
        pytest.param({"error": {"message": "no temperature, please"}}, ["temperature"], "schema", id="object"),
        pytest.param("temperature is not supported", ["temperature"], "schema", id="text"),
        pytest.param(
            json.dumps({"error": {"message": "up", "metadata": {"raw": '{"error": "no temperature"}'}}}),
            ["temperature"],
            "schema",
            id="router-behind-a-router",
        ),
    ],
)
def test_the_reason_behind_a_router_is_read(request_: Request, raw: object, dropped: list[str], form: str) -> None:
    """The router's own words name nothing that could be given up."""

    def answering(body: dict[str, Any]) -> Answer:
        asked = body.get("response_format", {}).get("type")
        refused = "temperature" in body if dropped else asked == "json_schema"
        return quoting(raw) if refused else verdict(body)

    with loopback(answering) as server:
        _, judge = ask(server, request_)

    assert (judge.effective()["dropped"], judge.dialect.form) == (dropped, form)
    assert len(server.requests) == 2


UNEXPLAINED = refusal(400, "tools.0.custom: properties maximum, minimum are not supported")


def asks_for_schema(body: dict[str, Any]) -> bool:
    """Tell whether a request wants its verdict to fit a schema."""
    return bool(body.get("response_format", {}).get("type") == "json_schema")


def test_an_unexplained_refusal_of_a_schema_is_worth_a_try_in_json_mode(request_: Request) -> None:
    """Many an endpoint complains of a schema in words of its own."""
    with loopback(lambda body: UNEXPLAINED if asks_for_schema(body) else verdict(body)) as server:
        reply, judge = ask(server, request_, calls=2)

    assert judge.dialect.form == "json"
    assert (len(server.requests), reply.attempts) == (3, 1)


def test_one_try_in_json_mode_is_all(request_: Request) -> None:
    """The request is refused for something else then, and the next one asks for a schema again."""
    with loopback(lambda _: UNEXPLAINED) as server, pytest.raises(CallFailed, match="not supported") as raised:
        ask(server, request_)

    assert [asks_for_schema(body) for body in server.requests] == [True, False]
    assert (raised.value.kind, raised.value.attempts) == ("rejected", 2)


def test_a_schema_that_others_were_answered_with_is_given_up_for_one_call_only(request_: Request) -> None:
    """The better form must not be lost for the run by one odd dialogue."""
    odd = replace(request_, prompt=Prompt("How is it received?", "| odd"))

    def answering(body: dict[str, Any]) -> Answer:
        return UNEXPLAINED if asks_for_schema(body) and "odd" in json.dumps(body["messages"]) else verdict(body)

    with loopback(answering) as server:
        replies, judge = ask_all(server, [request_, odd, request_])

    assert [reply.attempts for reply in replies] == [1, 2, 1]
    assert judge.dialect.form == "schema"


def test_a_judge_that_refuses_two_dialogues_and_has_answered_none_is_given_up(request_: Request) -> None:
    """One may be the dialogue's fault."""
    other = replace(request_, prompt=Prompt("How is it received?", "| another"))

    with (
        loopback(lambda _: refusal(400, "messages: what is this?")) as server,
        pytest.raises(JudgeUnusable, match="refuses the request: messages: what is this"),
    ):
        ask_all(server, [request_, request_, other])

    assert len(server.requests) == 6


def test_empty_answers_to_some_never_make_a_judge_dead(request_: Request) -> None:
    """A router gives them for what a filter behind it has blocked."""
    with loopback(lambda _: Answer(body=b'{"choices": []}')) as server:
        replies, _ = ask_all(server, [request_] * 9)

    assert [type(reply) for reply in replies] == [CallFailed] * 9
    assert len(server.requests) == 9 * RetryPolicy().few_attempts


def test_calls_that_fail_while_others_are_answered_never_make_a_judge_dead(request_: Request) -> None:
    """There are prompts that a server falls over, and it gets up again."""
    odd = replace(request_, prompt=Prompt("How is it received?", "| odd"))

    def answering(body: dict[str, Any]) -> Answer:
        return refusal(500, "fell over") if "odd" in json.dumps(body["messages"]) else verdict(body)

    with loopback(answering) as server:
        replies, _ = ask_all(server, [odd] * 9 + [request_] * 9, at_once=True)

    assert [type(reply) for reply in replies] == [CallFailed] * 9 + [Reply] * 9


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        pytest.param({"error": {"code": 502, "message": "Upstream provider failed"}}, "server", id="error"),
        pytest.param({"error": "gone", "finish_reason": "stop"}, "server", id="error-in-words"),
        pytest.param({"finish_reason": "error"}, "server", id="finish-reason"),
        pytest.param({"error": {"code": "content_filter", "message": "no"}}, "refused", id="filter"),
    ],
)
def test_a_failure_in_the_middle_of_a_reply_is_a_failed_call(
    request_: Request, choice: dict[str, Any], kind: str
) -> None:
    """A provider behind a router that breaks off says so in the choice, and the status is 200."""
    body = {"choices": [{"message": {"content": ""}, "finish_reason": "error"} | choice]}
    left = [Answer(body=json.dumps(body).encode())]

    with loopback(lambda body: left.pop() if left else verdict(body)) as server:
        replies, _ = ask_all(server, [request_])

    assert [getattr(reply, "attempts", 0) for reply in replies] == [2 if kind == "server" else 1]
    assert getattr(replies[0], "kind", "server") == kind


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({"tool_calls": [{"function": {"arguments": '{"score": 4}'}}]}, id="tool-call"),
        pytest.param({"tool_calls": [{"function": {"arguments": {"score": 4}}}]}, id="object"),
        pytest.param({"function_call": {"arguments": '{"score": 4}'}}, id="function-call"),
    ],
)
def test_a_verdict_given_to_a_tool_is_read(request_: Request, pack: Pack, message: dict[str, Any]) -> None:
    """Some servers make a tool of the schema and say so."""
    with loopback(lambda _: Answer(message={"content": None} | message, finish_reason="tool_calls")) as server:
        reply, _ = ask(server, request_)

    assert read_verdict(reply.text, pack.dimensions["reception"], reply.finish_reason).score == 4


def reply_body(content: object, **beside: Any) -> bytes:
    """Return a completion as it goes over the wire."""
    choice = {"message": {"content": content}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "model": "m"} | beside).encode()


ESCAPED = "".join(f"\\u{ord(character):04x}" for character in KEY)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(reply_body(f"Reason: {KEY}\nScore: 3"), id="plain"),
        pytest.param(reply_body("Reason: KEY\nScore: 3").replace(b"KEY", ESCAPED.encode()), id="escaped"),
        pytest.param(
            reply_body('{"rationale": "KEY", "score": 3}').replace(b"KEY", ESCAPED.replace("\\", "\\\\").encode()),
            id="escaped-twice",
        ),
        pytest.param(reply_body([{"text": f"Reason: {KEY[:7]}"}, {"text": f"{KEY[7:]}\nScore: 3"}]), id="in-parts"),
        pytest.param(reply_body("Score: 3", model=KEY), id="as-the-model"),
        pytest.param(
            json.dumps({"choices": [{"finish_reason": "error", "error": {"message": KEY}}]}).encode(), id="in-a-failure"
        ),
    ],
)
def test_a_key_that_the_judge_repeats_is_in_nothing_that_is_kept(request_: Request, pack: Pack, body: bytes) -> None:
    """Ratings are shared, and a judge may be a stranger's."""
    with loopback(lambda _: Answer(body=body)) as server:
        (reply,), _ = ask_all(server, [request_])

    kept = str(vars(reply)) if isinstance(reply, CallFailed) else f"{reply}"
    assert KEY not in kept
    if isinstance(reply, Reply):
        read = read_verdict(reply.text, pack.dimensions["reception"])
        assert (read.score, KEY in read.rationale) == (3, False)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(Answer(body=b"x" * 5_000_000), "more than 4 MB", id="large"),
        pytest.param(
            Answer(body=gzip.compress(b" " * 50_000_000), headers={"Content-Encoding": "gzip"}), "than 4 MB", id="bomb"
        ),
        pytest.param(Answer(body=reply_body("Score: 3\n" * 30_000)), "a reply of 270,000 characters", id="verdicts"),
    ],
)
def test_an_answer_that_is_too_large_is_a_failed_call(request_: Request, answer: Answer, said: str) -> None:
    """It is read no further, and not asked for again."""
    with loopback(lambda _: answer) as server:
        (reply,), _ = ask_all(server, [request_])

    assert isinstance(reply, CallFailed)
    assert (reply.kind, reply.transient, said in reply.message) == ("too_large", False, True)
    assert len(server.requests) == 1


@pytest.mark.parametrize("pack_", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
def test_a_packed_answer_is_read(request_: Request, pack_: Callable[[bytes], bytes]) -> None:
    """Most servers on the internet pack what they send."""
    encoding = "gzip" if pack_ is gzip.compress else "deflate"
    packed = Answer(body=pack_(reply_body("Score: 3")), headers={"Content-Encoding": encoding})

    with loopback(lambda _: packed) as server:
        reply, _ = ask(server, request_)

    assert reply.text == "Score: 3"


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_an_answer_that_is_not_packed_as_it_says_is_a_failed_call(request_: Request, encoding: str) -> None:
    """Nothing can be made of it, and the address may be wrong."""
    with (
        loopback(lambda _: Answer(body=b"nonsense", headers={"Content-Encoding": encoding})) as server,
        pytest.raises(JudgeUnusable, match=r"http://127\.0\.0\.1"),
    ):
        ask(server, request_)


@pytest.mark.parametrize("location", ["http://[::1", f"http://{KEY}.h/", "", "//"])
def test_a_redirect_to_nowhere_is_a_line(request_: Request, location: str) -> None:
    """Whatever the header says."""
    with (
        loopback(lambda _: refusal(302, "moved", Location=location)) as server,
        pytest.raises(JudgeUnusable, match="redirects to elsewhere"),
    ):
        ask(server, request_)


def test_after_a_refusal_another_call_is_the_probe(request_: Request) -> None:
    """What an endpoint never takes must not be what it is asked, to find out whether it takes anything again."""
    odd = replace(request_, prompt=Prompt("How is it received?", "| odd"))

    def answering(body: dict[str, Any]) -> Answer:
        return left.pop() if left and "odd" in json.dumps(body["messages"]) else verdict(body)

    left = [refusal(429, "not this one")]
    with loopback(answering) as server:
        ask_all(server, [odd] + [request_] * 5, at_once=True, window=1)

    asked = ["odd" in json.dumps(body["messages"]) for body in server.requests]
    assert asked == [True] + [False] * 5 + [True]
