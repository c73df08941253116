"""`perm serve`: the reward over HTTP."""

import os
import signal
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from perm_cli.cli.options import Config, JudgeName
from perm_cli.errors import SettingsError
from perm_cli.words import OnMissing

_BACKLOG = 2048  # connections that wait to be taken


def serve(
    judge: JudgeName = None,
    base_url: Annotated[
        str | None, typer.Option(help="Address of an OpenAI-compatible server, up to /v1.", show_default=False)
    ] = None,
    config: Config = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on.")] = 5000,
    token_env: Annotated[
        str | None, typer.Option(help="Environment variable with the token that clients must send.", show_default=False)
    ] = None,
    deadline: Annotated[
        float, typer.Option(min=0.001, max=86_400, help="Seconds after which a trainer gets a stand-in reward.")
    ] = 150.0,
    most_waiting: Annotated[int, typer.Option(min=1, help="Most replies that may wait at /score.")] = 10_000,
    most_megabytes: Annotated[float, typer.Option(min=0.001, max=10_000, help="Largest request, in megabytes.")] = 16.0,
    on_missing: Annotated[
        OnMissing | None, typer.Option(help="What /score returns for a missing reward.  [default: none]")
    ] = None,
    kept: Annotated[
        Path | None, typer.Option("--run", help="Folder to keep the ratings in.", show_default=False)
    ] = None,
) -> None:
    """
    Serve rewards over HTTP to trainers and other programs: /get_reward, /remote_rm, /score, /healthz, /metrics, /docs.

    The reward is configured in the [reward] table of perm.toml or in PERM_ variables.
    """
    from perm_cli.cli.console import messages, say
    from perm_cli.training.settings import reward_settings

    try:
        from perm_cli.serving.app import make_app
        from perm_cli.serving.connections import server_of
        from perm_cli.serving.limits import Limits
    except ImportError as error:
        raise SettingsError(f"{error.name} not found; install it with pip install 'perm-cli[serve]'") from error
    given: dict[str, Any] = {"judge": judge, "base_url": base_url, "on_missing": on_missing, "run": kept}
    settings = reward_settings(config, **{name: value for name, value in given.items() if value is not None})
    token = _token(host, token_env)
    limits = Limits(deadline_s=deadline, most_waiting=most_waiting, most_bytes=int(most_megabytes * 1e6))
    server = server_of(make_app(settings, limits, token, host), limits)
    with _listening(host, port) as listener:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)  # uvicorn raises them once more when it has drained
        where = f"http://{_in_url(host)}:{listener.getsockname()[1]}"
        say(messages(), f"listening on {where}, judged by {settings.judge.name}; see /docs")
        server.run(sockets=[listener])
    say(messages(), "stopped")


def _token(host: str, variable: str | None) -> str | None:
    """Return the token that clients must send, if any; warn if none is needed on a public address."""
    from perm_cli.cli.console import messages, say
    from perm_cli.judges.route_compatible import is_loopback

    token = os.environ.get(variable, "").strip() if variable else None
    if variable and not token:
        raise SettingsError(f"--token-env: no token found in {variable}, expected one")
    if not token and not is_loopback(f"http://{_in_url(host)}"):
        say(messages(), f"--host {host}: anyone who can reach it can use your judge; see --token-env", "bold")
    return token


def _listening(host: str, port: int) -> socket.socket:
    """Return a listening socket: a port in use is reported in one line, and clients can connect at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        number = error.errno or 0  # what Python makes of it says the address once more; that of a name is negative
        reason = os.strerror(number) if number > 0 else error.strerror
        raise SettingsError(f"--host {host} --port {port}: cannot listen there: {reason}") from error


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
