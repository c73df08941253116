"""
Runs of EQ-Bench3: role plays in which a model writes its thoughts, those of the other side, and a response.

The thoughts become the turn's analysis. Tasks that ask for an analysis of a transcript are no dialogues.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.cells import number_or_text
from perm_cli.dialogues.files.fields import list_in, object_in, text_in, words_in
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import CHAT_ROLES, RoleMap, role_of_speaker
from perm_cli.dialogues.files.rows import Record, Row
from perm_cli.dialogues.files.sections import Answer
from perm_cli.dialogues.files.steps import Made, NothingToJudge, each_row, split
from perm_cli.dialogues.files.talk import Utterance, turns_of
from perm_cli.dialogues.format import Format
from perm_cli.text import without_thinking

_HEADING = re.compile(
    r"^[ \t]*#{1,6}[ \t*]*(?:(?P<response>my response|draft)"
    r"|i['’]m thinking & feeling|they['’]re thinking & feeling|perspective[- ]taking|draft brainstorming)[ \t*:]*\r?$",
    re.IGNORECASE | re.MULTILINE,
)
_RULE = re.compile(r"^[ \t]*-{2,}[ \t]*\r?$", re.MULTILINE)
_ANALYSES = range(401, 421)  # the scenarios that ask for an analysis, by number


def recognises(fields: Mapping[str, Any]) -> bool:
    """Return whether the row looks like this format."""
    return "scenario_tasks" in fields or any(
        isinstance(run, Mapping) and "scenario_tasks" in run for run in fields.values()
    )


def read(records: Iterable[Record], reading: Reading) -> Iterator[Made]:
    """Yield one dialogue per finished task."""
    roles = reading.roles or CHAT_ROLES
    return each_row(split(records, _tasks), lambda row: _dialogue(row, roles))


def _tasks(row: Row) -> Iterator[Row]:
    runs = {"": row.fields} if "scenario_tasks" in row.fields else row.fields
    for key, run in runs.items():
        if not isinstance(run, Mapping) or "scenario_tasks" not in run:
            continue  # other data beside the runs
        place = f"{key}.scenario_tasks".removeprefix(".")
        for iteration, tasks in object_in(run["scenario_tasks"], place).items():
            for scenario, task in object_in(tasks, f"{place}.{iteration}").items():
                fields = {"id": f"{scenario}:{iteration}", "scenario": scenario, "run": run, "task": task}
                yield row.part(f"{place}.{iteration}.{scenario}", fields)


def _dialogue(row: Row, roles: RoleMap) -> Dialogue:
    task, run = object_in(row.fields["task"], ""), row.fields["run"]
    if number_or_text(row.fields["scenario"]) in _ANALYSES:
        raise NothingToJudge("an analysis of a transcript found, expected a dialogue")
    prompts = list_in(task["prompts"], "prompts") if task.get("prompts") else []
    scores = object_in(task.get("rubric_scores"), "rubric_scores")
    turns, _ = turns_of(_spoken(task, prompts, roles))
    replies = sum(turn.role == "supporter" for turn in turns)
    if not replies or replies < len(prompts):
        raise NothingToJudge(f"{replies} of {len(prompts)} replies found, expected a finished task")
    return Dialogue(
        id=row.fields["id"],
        turns=turns,
        system=words_in(run.get("model_name") or run.get("test_model"), "model_name"),
        labels={"judge": {name: number_or_text(score) for name, score in scores.items()}} if scores else {},
        meta={"judge_model": run["judge_model"]} if run.get("judge_model") else {},
    )


def _spoken(task: Mapping[str, Any], prompts: Sequence[object], roles: RoleMap) -> Iterator[Utterance]:
    """Yield the utterances, with each prompt in place of the message that wraps it in instructions."""
    history = task.get("conversation_history")
    asked = iter(prompts)
    for place, entry in enumerate(list_in(history, "conversation_history") if history else []):
        field = f"conversation_history[{place}]"
        message = object_in(entry, field)
        name = text_in(message.get("role"), f"{field}.role")
        role = role_of_speaker(name, roles, f"{field}.role")
        if role is None:
            continue
        if role == "seeker":
            content = text_in(message.get("content"), f"{field}.content")
            prompt = next(asked, None)
            bare = isinstance(prompt, str) and prompt.strip() and prompt.strip() in content
            yield Utterance(role=role, text=str(prompt).strip() if bare else content)
            continue
        answer = _answer(words_in(message.get("content"), f"{field}.content"))
        yield Utterance(role=role, text=answer.response, analysis=answer.analysis)


def _answer(text: str) -> Answer:
    """Return the sections of an answer; one without headings is all response."""
    text = without_thinking(text) or ""
    headings = list(_HEADING.finditer(text))
    if not headings:
        return Answer(text.strip(), None)
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    response, thoughts = "", []
    for heading, end in zip(headings, ends, strict=True):
        part = _RULE.split(text[heading.end() : end])[0].strip()
        if heading["response"]:
            response = part
        elif part:
            thoughts.append(part)
    return Answer(response, "\n\n".join(thoughts) or None)


FORMAT = Format(description="an object of runs with scenario_tasks", recognises=recognises, read=read)
