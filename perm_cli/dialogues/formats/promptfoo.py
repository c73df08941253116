"""
Results of promptfoo: the answer of each provider to a prompt, in one document or one line per result.

The system is the provider, with the number of the prompt where there are several; the id is that of the test.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.fields import checked_dialogue, id_in, list_in, object_in, text_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import ROLE_NAMES, RoleMap
from perm_cli.dialogues.files.rows import Record, Row
from perm_cli.dialogues.files.steps import Made, NothingToJudge, each_row, split
from perm_cli.dialogues.files.talk import turns_said
from perm_cli.dialogues.format import Format
from perm_cli.text import one_line


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    results = fields.get("results")
    is_result = isinstance(fields.get("prompt"), Mapping) and "response" in fields
    return is_result or (isinstance(results, Mapping) and isinstance(results.get("results"), list))


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per result."""
    roles = reading.roles or ROLE_NAMES
    return each_row(split(records, _results), lambda row: _dialogue(row, roles))


def _results(row: Row) -> Iterator[Row]:
    if "results" not in row.fields:
        yield row
        return
    results = object_in(row.fields["results"], "results").get("results")
    for place, result in enumerate(list_in(results, "results.results")):
        field = f"results.results[{place}]"
        yield row.part(field, object_in(result, field))


def _dialogue(row: Row, roles: RoleMap) -> Dialogue:
    fields = row.fields
    response = object_in(fields.get("response"), "response")
    if response.get("output") is None:
        error = response.get("error") or fields.get("error") or "no reason given"
        raise NothingToJudge(f"no output found ({one_line(str(error), 100)}), expected a reply to judge")
    scores = object_in(fields.get("namedScores"), "namedScores")
    test = fields.get("testIdx")
    dialogue = Dialogue(
        id=row.own_id if test is None else id_in(test, "testIdx"),
        turns=(*_asked(fields, roles), *turns_said("supporter", response["output"], "response.output", roles)),
        system=_system(fields),
        labels={"judge": dict(scores)} if scores else {},
        meta={"vars": fields["vars"]} if fields.get("vars") else {},
    )
    return checked_dialogue(dialogue, "response.output")


def _asked(fields: Mapping[str, Any], roles: RoleMap) -> Any:
    """Return the turns in a prompt, which is text, or messages in JSON."""
    raw = text_in(object_in(fields.get("prompt"), "prompt").get("raw"), "prompt.raw")
    try:
        messages = orjson.loads(raw)
    except orjson.JSONDecodeError:
        messages = None
    return turns_said("seeker", messages if isinstance(messages, list) else raw, "prompt.raw", roles)


def _system(fields: Mapping[str, Any]) -> str:
    provider = fields.get("provider")
    named = provider.get("label") or provider.get("id") if isinstance(provider, Mapping) else provider
    number = fields.get("promptIdx")  # several prompts to one provider are systems to compare
    prompt = f" prompt {number + 1}" if isinstance(number, int) and number else ""
    return f"{words_in(named, 'provider')}{prompt}"


FORMAT = Format(description="results with prompt, provider and response", recognises=recognises, read=read)
