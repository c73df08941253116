"""
Files of batch APIs: requests with the conversation and answers with the replies, joined on `custom_id`.

OpenAI's chat completions and responses are read, and Anthropic's messages; the system is the model that answered.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.fields import checked_dialogue, id_in, list_in, object_in, words_in
from perm_cli.dialogues.files.joins import each_answer
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES, RoleMap
from perm_cli.dialogues.files.rows import Record, Row
from perm_cli.dialogues.files.steps import Made, NothingToJudge
from perm_cli.dialogues.files.talk import turns_in_messages, turns_said
from perm_cli.dialogues.format import Format
from perm_cli.text import one_line

_REQUESTS = ("body", "params")
_DONE = 200


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "custom_id" in fields and bool(fields.keys() & {*_REQUESTS, "response", "result"})


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per answer."""
    roles = reading.roles or ROLE_NAMES
    return each_answer(records, _id, _is_request, lambda asked, answer: _dialogue(asked, answer, roles))


def _id(row: Row) -> str:
    return id_in(row.fields.get("custom_id"), "custom_id")


def _is_request(row: Row) -> bool:
    return any(name in row.fields for name in _REQUESTS)


def _dialogue(asked: Row, answer: Row, roles: RoleMap) -> Dialogue:
    request = object_in(asked.fields.get("body") or asked.fields.get("params"), "body")
    reply, model = _reply(answer.fields)
    name = "messages" if "messages" in request else "input"
    dialogue = Dialogue(
        id=_id(answer),
        turns=(*turns_said("seeker", request.get(name), f"body.{name}", roles), *_turns(reply, roles)),
        # The served model: the requested name may be an alias that changes its meaning.
        system=words_in(model or request.get("model"), "model"),
    )
    return checked_dialogue(dialogue, "response")


def _reply(answer: Mapping[str, Any]) -> tuple[object, object]:
    """Return the messages of the reply and the model, from any of the three interfaces."""
    if "result" in answer:
        result = object_in(answer["result"], "result")
        message = object_in(result.get("message"), "result.message")
        _check(message, result.get("error") or result.get("type"))
        return [{**message, "role": "assistant"}], message.get("model")
    response = object_in(answer.get("response"), "response")
    body = object_in(response.get("body"), "response.body")
    _check(response.get("status_code") == _DONE and body, answer.get("error") or body.get("error") or response)
    if "choices" in body:
        choice = object_in(list_in(body["choices"], "response.body.choices")[0], "response.body.choices[0]")
        return [choice.get("message")], body.get("model")
    output = list_in(body.get("output"), "response.body.output")
    return [each for each in output if isinstance(each, Mapping) and each.get("type") == "message"], body.get("model")


def _check(found: object, error: object) -> None:
    """Raise `NothingToJudge` if the request failed."""
    if not found:
        said = error.get("message") or error.get("type") if isinstance(error, Mapping) else error
        raise NothingToJudge(f"no reply found ({one_line(str(said), 100)}), expected one to judge")


def _turns(reply: object, roles: RoleMap) -> tuple[Turn, ...]:
    known: RoleMap = roles if "assistant" in roles else {**roles, "assistant": "supporter"}
    if not reply:
        raise NothingToJudge("a response without a message found, expected a reply to judge")
    return turns_in_messages(reply, "response", known)


FORMAT = Format(
    description="requests and answers of a batch, with custom_id",
    recognises=recognises,
    read=read,
    is_joined=True,
)
