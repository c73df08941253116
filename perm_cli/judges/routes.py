"""The list of routes, and the functions that apply a judge's route to its settings."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

from perm_cli.errors import SettingsError
from perm_cli.findings import nearest
from perm_cli.judges.budget import Budget
from perm_cli.judges.configuration import Configuration, judge_settings
from perm_cli.judges.route import OpenJudge, Route, Terms
from perm_cli.judges.settings import JudgeSettings, Price
from perm_cli.litellm_files import price_list
from perm_cli.text import one_line

# The beginning of the model names of perm's own judges, and the module of their route; after a beginning that ends in a
# slash comes the name of a model. A module is imported only for a judge that may take its route, since each imports
# other libraries.
_OWN = {
    "local": "route_embedded",
    "baseline": "route_baseline",
}
_PROVIDERS = ("route_compatible", "route_litellm")  # the last takes every judge
OWN_NAMES = tuple(_OWN)


def route_of(judge: JudgeSettings) -> Route:
    """Return the route of a judge."""
    own = (module for name, module in _OWN.items() if judge.model.startswith(name))
    return next(route for route in _routes((*own, *_PROVIDERS)) if route.takes(judge))


def _routes(modules: Iterable[str]) -> Iterator[Route]:
    for module in modules:
        route: Route = import_module(f"perm_cli.judges.{module}").ROUTE
        yield route


def named_judge(name: str | None, configuration: Configuration, **overrides: Any) -> JudgeSettings:
    """Return the judge called `name`, as `judge_settings` does; raise `SettingsError` if it is unknown."""
    judge = judge_settings(name, configuration, **overrides)
    if route_of(judge).is_known(judge):
        return judge
    meant = _nearest(judge.model, [*configuration.judges])
    hint = f"; did you mean {', '.join(meant)}?" if meant else ""
    model = "" if judge.name == judge.model else f"model {judge.model}: "
    raise SettingsError(
        one_line(
            f"--judge {judge.name}: {model}no such judge found, expected a name from perm.toml, a model such as "
            f"openai/gpt-5.4-mini, {', '.join(OWN_NAMES)}, or --base-url with the address of a server{hint}",
            1000,
        )
    )


def _nearest(model: str, configured: list[str]) -> list[str]:
    """Return similar names, for a message."""
    provider, slash, rest = model.partition("/")
    if not slash:
        listed = [each for each in price_list() if "/" not in each]
        return nearest(model, [*configured, *OWN_NAMES, *listed], 3)
    providers = {each for route in _routes((*_OWN.values(), *_PROVIDERS)) for each in route.providers()} - {provider}
    meant = nearest(provider, providers, 2) if rest else []
    return [*nearest(model, configured, 2), *(f"{each}/{rest}" for each in meant)]


def detour_of(judge: JudgeSettings, configuration: Configuration) -> str | None:
    """Return a warning if a settings file redirects a provider's model name to another address, else None."""
    named = configuration.judges.get(judge.name)
    plain = JudgeSettings(name=judge.name, model=judge.name)
    if named is None or named.base_url != judge.base_url or not route_of(plain).is_known(plain):
        return None
    if not judge.base_url and judge.provider == plain.provider:
        return None
    key = f" with the key in {judge.api_key_env}" if judge.api_key_env else ""
    place = judge.base_url or judge.model
    return one_line(f"{configuration.path}: judge {judge.name!r} goes to {place}{key}, not to its provider", 1000)


def missing(judge: JudgeSettings) -> list[str]:
    """Return what this judge lacks before it can be called (a key, an extra, weights), each with its remedy."""
    return route_of(judge).missing(judge)


def check_judge(judge: JudgeSettings) -> None:
    """Raise `SettingsError` if the judge lacks something before it can be called."""
    if lacking := missing(judge):
        raise SettingsError(f"--judge {judge.name}: missing {'; '.join(lacking)}")


def default_concurrency(judge: JudgeSettings) -> int:
    """Return how many calls to this judge may be in flight."""
    return judge.concurrency or route_of(judge).concurrency


def gives_logprobs(judge: JudgeSettings) -> bool:
    """Return whether the judge may give log-probabilities."""
    return route_of(judge).gives_logprobs(judge)


def caveat_of(judge: JudgeSettings) -> str | None:
    """Return the known limit of this judge's verdicts, None if there is none."""
    return route_of(judge).caveat(judge)


def is_control(name: str) -> bool:
    """Return whether the judge of this name is only a baseline for other judges."""
    return route_of(JudgeSettings(name=name, model=name)).is_control


def control_caveats() -> set[str | None]:
    """Return the caveats of the control judges, by which a run shows what its judge was whatever it was called."""
    return {caveat_of(JudgeSettings(name=name, model=name)) for name in OWN_NAMES if is_control(name)}


def identity_of(judge: JudgeSettings) -> dict[str, Any]:
    """Return what a rating depends on besides its prompt."""
    return route_of(judge).identity(judge)


def price_of(judge: JudgeSettings) -> Price | None:
    """
    Return the judge's price, None if it is unknown.

    A judge with a custom base URL has only the price from its settings: the provider's list price is not that server's.
    """
    return judge.price if judge.price or judge.base_url else route_of(judge).price(judge)


@asynccontextmanager
async def open_judge(
    judge: JudgeSettings, budget: Budget | None = None, *, on_outage: Callable[[str], None] | None = None
) -> AsyncIterator[OpenJudge]:
    """
    Open the judge for the duration of the `with` block; raise `SettingsError` if it lacks something.

    With `on_outage`, the judge waits out outages of its endpoint and reports them to that function; without it, the
    judge is given up.
    """
    check_judge(judge)
    route = route_of(judge)
    terms = Terms(
        concurrency=default_concurrency(judge),
        timeout_s=judge.timeout_s or route.timeout_s,
        price=price_of(judge),
        budget=budget,
        on_outage=on_outage,
    )
    async with route.opened(judge, terms) as opened:
        yield opened
