"""Logs of inspect_ai: the messages of each sample and its scores; each sample of a zipped log is a log by itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.fields import id_in, list_in, object_in, text_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import CHAT_ROLES, RoleMap, role_of_speaker
from perm_cli.dialogues.files.rows import Record, Row, RowError
from perm_cli.dialogues.files.steps import Made, NothingToJudge, each_row, split
from perm_cli.dialogues.files.talk import Utterance, said_by, text_of_part, turns_of
from perm_cli.dialogues.format import Format
from perm_cli.findings import shown
from perm_cli.text import one_line

_ATTACHMENT = "attachment://"


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "eval" in fields and bool(fields.keys() & {"samples", "status"})


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per sample and epoch."""
    roles = reading.roles or CHAT_ROLES
    return each_row(split(records, _samples), lambda row: _dialogue(row, roles))


def _samples(row: Row) -> Iterator[Row]:
    about = object_in(row.fields.get("eval"), "eval")
    if not row.fields.get("samples"):
        status = shown(row.fields.get("status"))
        raise RowError([("samples", f"none found in a log with status {status}, expected at least one with a reply")])
    samples = list_in(row.fields["samples"], "samples")
    for place, sample in enumerate(samples):
        field = f"samples[{place}]"
        # The member of a zipped log is the sample.
        yield row.part(
            field if not row.path or len(samples) > 1 else "", {"eval": about, "sample": object_in(sample, field)}
        )


def _dialogue(row: Row, roles: RoleMap) -> Dialogue:
    sample, about = row.fields["sample"], row.fields["eval"]
    turns, _ = turns_of(_spoken(sample, roles))
    if all(turn.role == "seeker" for turn in turns):
        raise NothingToJudge(f"no reply found{_failure(sample)}, expected one to judge")
    parts = (words_in(about.get("task"), "task"), id_in(sample.get("id")), id_in(sample.get("epoch", 1), "epoch"))
    scores = object_in(sample.get("scores"), "scores")
    values = {name: object_in(score, f"scores.{name}").get("value") for name, score in scores.items()}
    return Dialogue(
        id=":".join(filter(None, parts)),
        turns=turns,
        system=words_in(about.get("model"), "model"),
        # Under `judge`, so that scores by a model or a program never pass for people's labels.
        labels={"judge": values} if values else {},
        meta={"metadata": sample["metadata"]} if sample.get("metadata") else {},
    )


def _failure(sample: Mapping[str, Any]) -> str:
    """Return why a sample has no reply, where the log says so."""
    error = sample.get("error")
    said = error.get("message") if isinstance(error, Mapping) else error
    return f" in a sample that failed ({one_line(said, 100)})" if isinstance(said, str) and said else ""


def _spoken(sample: Mapping[str, Any], roles: RoleMap) -> Iterator[Utterance]:
    attachments = object_in(sample.get("attachments"), "attachments")
    for place, entry in enumerate(_messages(sample)):
        field = f"messages[{place}]"
        message = object_in(entry, field)
        name = text_in(message.get("role"), f"{field}.role")
        role = role_of_speaker(name, roles, f"{field}.role")
        if role is None:
            continue
        said = said_by(role, _text(message.get("content"), attachments, f"{field}.content"), f"{field}.content")
        if said.text or not message.get("tool_calls"):
            yield said


def _messages(sample: Mapping[str, Any]) -> Sequence[Any]:
    """Return the messages, or input and output as messages if the log has only these."""
    if sample.get("messages"):
        return list_in(sample["messages"], "messages")
    asked = sample.get("input")
    output = object_in(sample.get("output"), "output")
    choices = list_in(output["choices"], "output.choices") if output.get("choices") else []
    answers = [object_in(choice, "output.choices[0]").get("message") for choice in choices[:1]]
    return [*(asked if isinstance(asked, list) else [{"role": "user", "content": asked}]), *answers]


def _text(content: object, attachments: Mapping[str, Any], field: str) -> str:
    """Return the text of a message, without images and thinking."""
    parts = [content] if isinstance(content, str) else content or []
    if not isinstance(parts, list):
        raise RowError([(field, f"{shown(content)} found, expected text or a list of parts")])
    return "\n".join(_attached(text, attachments, field) for text in map(text_of_part, parts) if text)


def _attached(text: str, attachments: Mapping[str, Any], field: str) -> str:
    if not text.startswith(_ATTACHMENT):
        return text
    found = attachments.get(text.removeprefix(_ATTACHMENT))
    if not isinstance(found, str):
        raise RowError([(field, f"{shown(text)} found, expected it among the attachments")])
    return found


FORMAT = Format(description="a log (.eval or .json) with eval and samples", recognises=recognises, read=read)
