"""`perm serve`: the reward over HTTP."""

import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from perm_cli.cli.console import messages, say
from perm_cli.errors import SettingsError
from perm_cli.judges.route_compatible import is_loopback
from perm_cli.training.settings import reward_settings

_BACKLOG = 2048  # connections that wait to be taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Say where the server listens, and for whom: for those who know the token that a variable holds, if any."""

    host: str
    port: int
    token_env: str | None


def run(place: Place, limits: dict[str, Any], config: Path | None, wishes: dict[str, Any]) -> None:
    """Do what the command says."""
    try:
        from perm_cli.serving.app import make_app  # noqa: PLC0415 - an extra
        from perm_cli.serving.connections import server_of  # noqa: PLC0415 - the same
        from perm_cli.serving.limits import Limits  # noqa: PLC0415 - the same
    except ImportError as error:
        raise SettingsError(f"{error.name} not found, expected it: pip install 'perm-cli[serve]'") from error
    settings = reward_settings(config, **{name: value for name, value in wishes.items() if value is not None})
    token = os.environ.get(place.token_env, "").strip() if place.token_env else None
    if place.token_env and not token:
        raise SettingsError(f"--token-env: no token found in {place.token_env}, expected one")
    if not token and not is_loopback(f"http://{_in_url(place.host)}"):
        say(messages(), f"--host {place.host}: whoever reaches it may spend your judge; see --token-env", "bold")
    asked = Limits(**limits)
    app = make_app(settings, asked, token, place.host)
    server = server_of(app, asked)
    with _listening(place) as listener:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)  # uvicorn raises them once more when it has drained
        where = f"http://{_in_url(place.host)}:{listener.getsockname()[1]}"
        say(messages(), f"listening on {where}, judged by {settings.judge.name}; /docs says more")
        server.run(sockets=[listener])
    say(messages(), "stopped")


def _listening(place: Place) -> socket.socket:
    """Return a socket that listens, so that a port in use is said in a line and a client need not wait for more."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    try:
        return socket.create_server((place.host, place.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        number = error.errno or 0  # what Python makes of it says the address once more; that of a name is negative
        reason = os.strerror(number) if number > 0 else error.strerror
        raise SettingsError(f"--host {place.host} --port {place.port}: cannot listen there: {reason}") from error


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
