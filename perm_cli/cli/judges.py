"""`perm judges`: who can judge here, and what an endpoint can do."""

import asyncio
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from perm_cli.cli.console import output, say
from perm_cli.cli.from_options import announce_detour
from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.errors import CallFailed, JudgeUnusable
from perm_cli.judges.configuration import load_configuration
from perm_cli.judges.dialects import Dialect
from perm_cli.judges.judge import Reply, Request
from perm_cli.judges.prices import retirement_note
from perm_cli.judges.routes import OWN_NAMES, caveat_of, missing, named_judge, open_judge, route_of
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.book import open_book
from perm_cli.prompts.rubrics import DEFAULT_PACK
from perm_cli.prompts.shipped import shipped
from perm_cli.ratings.rating import GROWTH, schema_of
from perm_cli.ratings.verdicts import Verdict, read_verdict
from perm_cli.text import one_line

_TRIAL = Dialogue(
    id="trial",
    turns=(
        Turn(role="seeker", text="I did not get the job, and I had already told everyone."),
        Turn(role="supporter", text="That stings twice: the job, and now having to tell them."),
    ),
)


def list_judges(config: Path | None) -> None:
    """Print one line per judge: its model, what it lacks and where it is asked."""
    configuration = load_configuration(config)
    own = (name for name in OWN_NAMES if not name.endswith("/"))  # where a model must follow, there is none to list
    judges = {**{name: JudgeSettings(name=name, model=name) for name in own}, **configuration.judges}
    if configuration.judge:  # the default may be a model nobody gave a name
        judges.setdefault(configuration.judge, JudgeSettings(name=configuration.judge, model=configuration.judge))
    console = output()
    for name, settings in judges.items():
        lacking = missing(settings)
        chosen = " (default)" if name == configuration.judge else ""
        where = one_line(route_of(settings).where(settings))
        state = f"missing {'; '.join(lacking)}" if lacking else "ready"
        say(console, f"{one_line(name)}{chosen}  {one_line(settings.model)}  {state}  ({where})")
        if note := retirement_note(settings):
            say(console, f"  {note}")
    if not configuration.judges:
        say(
            console,
            "no judges are configured; --judge takes any LiteLLM model name, [judges.NAME] in perm.toml names one",
        )


def check_judge(name: str, base_url: str | None, api_key_env: str | None, config: Path | None) -> None:
    """Call the judge and print what came of it, a line each; raise `JudgeUnusable` if that is no verdict."""
    configuration = load_configuration(config)
    settings = named_judge(name, configuration, base_url=base_url, api_key_env=api_key_env, logprobs=True)
    announce_detour(settings, configuration)
    started = perf_counter()
    reply, verdict, dialect = asyncio.run(_try(settings))
    console = output()
    for line in _findings(reply, verdict, dialect):
        say(console, line)
    say(
        console,
        f"answer             {perf_counter() - started:.1f} s, {reply.tokens_in} tokens in, {reply.tokens_out} out",
    )
    for note in filter(None, (caveat_of(settings), retirement_note(settings))):
        say(console, note)
    if verdict.status != "scored":
        raise JudgeUnusable(
            f"{one_line(settings.name)} gave no verdict but {one_line(reply.text, 120)!r}: {verdict.note}"
        )


async def _try(settings: JudgeSettings) -> tuple[Reply, Verdict, Dialect]:
    book = open_book(shipped("rubrics") / DEFAULT_PACK)
    question = next(book.questions(_TRIAL, only=book.pack.trajectory_dimension))
    request = Request(prompt=book.prompt(question), schema=schema_of(question.dimension))
    async with open_judge(settings) as judge:
        try:
            reply = await judge.ask(request)
            verdict = read_verdict(reply.text, question.dimension, reply.finish_reason)
            if verdict.status == "truncated":  # a run gives it more room too
                reply = await judge.ask(replace(request, max_tokens=settings.max_tokens * GROWTH))
                verdict = read_verdict(reply.text, question.dimension, reply.finish_reason)
        except CallFailed as failure:
            raise JudgeUnusable(f"{settings.name}: {failure.message}") from failure
        return reply, verdict, judge.dialect


def _findings(reply: Reply, verdict: Verdict, dialect: Dialect) -> list[str]:
    refused = "no, the endpoint refuses it"
    forms = {
        "schema": ("yes", "not tried, the schema is better"),
        "json": (refused, "yes"),
        "text": (refused, refused),
    }
    schema, json_mode = forms[dialect.form]
    if verdict.status == "scored":
        said = f"a score of {verdict.score}"
    else:
        said = f"no score: {verdict.status} ({verdict.note})"
        schema = "accepted, but the reply does not follow it" if dialect.form == "schema" else schema
    return [
        f"model              {one_line(reply.model_served) or 'not named in the answer'}",
        f"JSON schema        {schema}",
        f"JSON mode          {json_mode}",
        f"log-probabilities  {'yes' if reply.tokens else 'no: --score expected is not possible'}",
        f"refused            {', '.join(sorted(dialect.dropped)) or 'no parameter'}",
        f"verdict            {said}",
    ]
