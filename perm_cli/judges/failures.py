"""What an endpoint's failure means: whether it is transient, what to do about it, and which calls it affects."""

import re
from collections.abc import Mapping
from typing import Any, NoReturn

import orjson

from perm_cli.errors import CallFailed, JudgeUnusable

_TRANSIENT = frozenset({408, 409, 425, 429})
_TOO_MANY = 429
_NO_CREDIT = 402
_TOO_LARGE = 413
_CLIENT, _SERVER, _BEYOND = 400, 500, 600
_LAYERS = 3  # of errors nested in one another by routers

# Content filters name themselves in many ways; all of them mention content, or what was flagged in it.
_REFUSALS = re.compile(
    r"content[ _-]?(?:filter|policy|policies|management|moderation|exists risk|violation)|moderat(?:ion|ed)\b"
    r"|responsible_?ai|data_?inspection|(?:inappropriate|prohibited|unsafe|harmful|sensitive)[ _]content"
    r"|(?:prompt|input|output|message|text|request)\b.{0,40}\b(?:flagged|violat\w+)\b.{0,60}\bpolic"
    r"|safety (?:system|filter|settings?|reasons)|敏感|违规|不安全",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context[_ ](?:length|size|window)|maximum context|exceed_context|too many tokens|tokens must be reduced"
    r"|(?:prompt|input|request|message)s?(?: is| are)?[ _]too[ _](?:long|large)|reduce the (?:length|size)",
    re.IGNORECASE,
)
_LIMIT = re.compile(r"\blimit\W{0,3}([\d,]{1,15})", re.IGNORECASE)
_REQUESTED = re.compile(r"\brequested\W{0,3}([\d,]{1,15})", re.IGNORECASE)


def raise_for_status(  # one table for all routes
    status: int, code: str, message: str, where: str, model: str, parameter: object, wait_s: float | None
) -> NoReturn:
    """Raise `JudgeUnusable` for an HTTP failure of every call, `CallFailed` for one of this call."""
    hint = f"{message} (HTTP {status})"
    told = f"{code} {message}"
    if status == _NO_CREDIT or "insufficient_quota" in told.lower():
        raise JudgeUnusable(f"{where}: the account has no credit left: {hint}")
    # Before the status: filters answer with 400 and 403 too, and what they refuse is one dialogue, not the key.
    if is_refusal(told):
        raise CallFailed(hint, kind="refused", transient=False, status=status)
    if status in {401, 403}:
        raise JudgeUnusable(
            f"{where} does not accept the API key: {hint}; check the variable that holds it (--api-key-env)"
        )
    if status in {404, 405}:
        raise JudgeUnusable(f"{where} has no such model or path: {model!r}: {hint}; check --judge and --base-url")
    if status == _TOO_LARGE or _TOO_LONG.search(told) or _asks_too_much(told):
        raise CallFailed(hint, kind="too_long", transient=False, status=status)
    transient = status in _TRANSIENT or status >= _SERVER
    raise CallFailed(
        hint,
        kind="rate_limited" if status == _TOO_MANY else "server" if transient else "rejected",
        transient=transient,
        status=status,
        retry_after_s=wait_s,
        parameter=parameter if isinstance(parameter, str) else None,
    )


def is_refusal(told: str) -> bool:
    """Return whether an error comes from a content filter, which concerns only this dialogue."""
    return bool(_REFUSALS.search(told))


def _asks_too_much(told: str) -> bool:
    """Return whether one call exceeds a per-minute limit by itself, so that waiting is useless."""
    limit, requested = _LIMIT.search(told), _REQUESTED.search(told)
    return bool(limit and requested and _number(requested[1]) > _number(limit[1]))


def _number(digits: str) -> int:
    return int(digits.replace(",", "") or 0)


def status_within(error: Mapping[str, Any]) -> int:
    """Return the status named by an error in the body of a successful response, 502 if it names none."""
    code = error.get("code")
    return code if type(code) is int and _CLIENT <= code < _BEYOND else 502


def message_of(error: Mapping[str, Any], layers: int = _LAYERS) -> tuple[str, object]:
    """Return the message of an error and the parameter it names, including a provider's error quoted by a router."""
    message = str(error.get("message") or error.get("detail") or "")
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if not raw or not layers:
        return message, error.get("param")
    quoted = _error_in(raw)
    inner, parameter = message_of(quoted, layers - 1) if quoted else (str(raw), None)
    return ": ".join(filter(None, (message, inner))), parameter or error.get("param")


def _error_in(raw: object) -> Mapping[str, Any] | None:
    try:
        body = orjson.loads(raw) if isinstance(raw, str) else raw
    except orjson.JSONDecodeError:
        return None
    return error_of(body) if isinstance(body, Mapping) else None


def error_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the error object in the body of a response, made from whatever is there if it is not an object."""
    error = body.get("error", body)
    return error if isinstance(error, Mapping) else {"message": error}
