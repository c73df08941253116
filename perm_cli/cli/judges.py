"""`perm judges`: the configured judges, and what an endpoint can do."""

from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from perm_cli.cli.options import Config, judge_names, with_options
from perm_cli.errors import JudgeUnusable
from perm_cli.text import one_line

app = typer.Typer(help="List and check the configured judges.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def judges(context: typer.Context, config: Config = None) -> None:
    """List the configured judges, where each is reached and what it still lacks."""
    if context.invoked_subcommand is None:
        _list(config)


def _list(config: Path | None) -> None:
    from perm_cli.cli.console import output, say
    from perm_cli.judges.configuration import load_configuration
    from perm_cli.judges.prices import retirement_note
    from perm_cli.judges.routes import OWN_NAMES, missing, route_of
    from perm_cli.judges.settings import JudgeSettings

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


@app.command("check")
@with_options
def check(
    name: Annotated[
        str, typer.Argument(help="Configured judge, or a model as for --judge.", autocompletion=judge_names)
    ],
    base_url: Annotated[
        str | None, typer.Option(help="Address of an OpenAI-compatible server.", show_default=False)
    ] = None,
    api_key_env: Annotated[
        str | None, typer.Option(help="Environment variable that holds the API key.", show_default=False)
    ] = None,
    config: Config = None,
) -> None:
    """Make one call and report what the endpoint can do."""
    import asyncio

    from perm_cli.cli.console import output, say
    from perm_cli.cli.from_options import announce_detour
    from perm_cli.judges.configuration import load_configuration
    from perm_cli.judges.prices import retirement_note
    from perm_cli.judges.routes import caveat_of, named_judge
    from perm_cli.scoring.probing import probe

    configuration = load_configuration(config)
    settings = named_judge(name, configuration, base_url=base_url, api_key_env=api_key_env, logprobs=True)
    announce_detour(settings, configuration)
    started = perf_counter()
    found = asyncio.run(probe(settings))
    reply, seconds = found.reply, perf_counter() - started
    console = output()
    for line in found.lines():
        say(console, line)
    say(console, f"answer             {seconds:.1f} s, {reply.tokens_in} tokens in, {reply.tokens_out} out")
    for note in filter(None, (caveat_of(settings), retirement_note(settings))):
        say(console, note)
    if found.verdict.status != "scored":
        raise JudgeUnusable(
            f"{one_line(settings.name)} gave no verdict but {one_line(reply.text, 120)!r}: {found.verdict.note}"
        )
