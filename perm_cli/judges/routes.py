"""The routes there are, and the one that a judge takes: what `route.Route` says of it, with what its settings say."""

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

# What begins the name of a model of perm's own, and the module of its route; a model may follow what ends in a slash.
# Modules are imported for a judge that may take their route: each brings libraries of its own.
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
    """Return the judge called `name`, as `judge_settings` does; raise `SettingsError` if nobody knows it."""
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
    """Return the names that may have been meant."""
    provider, slash, rest = model.partition("/")
    if not slash:
        listed = [each for each in price_list() if "/" not in each]
        return nearest(model, [*configured, *OWN_NAMES, *listed], 3)
    providers = {each for route in _routes((*_OWN.values(), *_PROVIDERS)) for each in route.providers()} - {provider}
    meant = nearest(provider, providers, 2) if rest else []
    return [*nearest(model, configured, 2), *(f"{each}/{rest}" for each in meant)]


def detour_of(judge: JudgeSettings, configuration: Configuration) -> str | None:
    """Return what to tell the user where a settings file sends elsewhere what a provider's model name asks for."""
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
    """Return what this judge lacks before it can be called: a key, an extra, weights."""
    return route_of(judge).missing(judge)


def check_judge(judge: JudgeSettings) -> None:
    """Raise `SettingsError` if the judge lacks something before it can be called."""
    if lacking := missing(judge):
        raise SettingsError(f"--judge {judge.name}: missing {'; '.join(lacking)}")


def default_concurrency(judge: JudgeSettings) -> int:
    """Return how many calls may be in flight."""
    return judge.concurrency or route_of(judge).concurrency


def gives_logprobs(judge: JudgeSettings) -> bool:
    """Return whether the judge may give log-probabilities."""
    return route_of(judge).gives_logprobs(judge)


def caveat_of(judge: JudgeSettings) -> str | None:
    """Return what this judge's verdicts are known not to be worth."""
    return route_of(judge).caveat(judge)


def is_control(name: str) -> bool:
    """Return whether the judge of this name is there for others to be compared with."""
    return route_of(JudgeSettings(name=name, model=name)).is_control


def control_caveats() -> set[str | None]:
    """Return the caveats of controls, which a run keeps whatever its judge was called."""
    return {caveat_of(JudgeSettings(name=name, model=name)) for name in OWN_NAMES if is_control(name)}


def identity_of(judge: JudgeSettings) -> dict[str, Any]:
    """Return what a rating depends on besides its prompt."""
    return route_of(judge).identity(judge)


def price_of(judge: JudgeSettings) -> Price | None:
    """
    Return the judge's price, None if nobody knows it.

    A judge at an address of one's own has the price the settings give it and no other, whatever its model is called.
    """
    return judge.price if judge.price or judge.base_url else route_of(judge).price(judge)


@asynccontextmanager
async def open_judge(
    judge: JudgeSettings, budget: Budget | None = None, *, lasting: Callable[[str], None] | None = None
) -> AsyncIterator[OpenJudge]:
    """
    Open the judge for the time of the `with` block; raise `SettingsError` for what it lacks.

    A `lasting` one outlives its endpoint's outages and tells of them, where any other is given up.
    """
    check_judge(judge)
    route = route_of(judge)
    terms = Terms(
        concurrency=default_concurrency(judge),
        timeout_s=judge.timeout_s or route.timeout_s,
        price=price_of(judge),
        budget=budget,
        lasting=lasting,
    )
    async with route.opened(judge, terms) as opened:
        yield opened
