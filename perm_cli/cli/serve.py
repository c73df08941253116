"""`perm serve`: the reward over HTTP."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perm_cli.cli.console import messages, say
from perm_cli.errors import SettingsError
from perm_cli.judges.http import is_loopback
from perm_cli.reward.settings import reward_settings

if TYPE_CHECKING:
    pass

_DRAIN_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Say where the server listens, and for whom: for those who know the token that a variable holds, if any."""

    host: str
    port: int
    token_env: str | None


def run(place: Place, limits: "dict[str, Any]", config: Path | None, wishes: dict[str, Any]) -> None:
    """Do what the command says."""
    try:
        import uvicorn  # noqa: PLC0415 - an extra

        from perm_cli.serving.app import Limits, make_app  # noqa: PLC0415 - the same
    except ImportError as error:
        raise SettingsError(f"{error.name} not found, expected it: pip install 'perm-cli[serve]'") from error
    settings = reward_settings(config, **{name: value for name, value in wishes.items() if value is not None})
    token = os.environ.get(place.token_env, "").strip() if place.token_env else None
    if place.token_env and not token:
        raise SettingsError(f"--token-env: no token found in {place.token_env}, expected one")
    if not token and not is_loopback(f"http://{place.host}"):
        say(messages(), f"--host {place.host}: whoever reaches it may spend your judge; see --token-env", "bold")
    app = make_app(settings, Limits(**limits), token)
    say(messages(), f"listening on http://{place.host}:{place.port}, judged by {settings.judge.name}; /docs says more")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn raises them once more when it has drained
    uvicorn.run(
        app,
        host=place.host,
        port=place.port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_DRAIN_S,
        server_header=False,
    )
    say(messages(), "stopped; whoever was waiting has had an answer")
