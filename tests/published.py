"""Rows as the data sets and logs of others hold them; all words in them are this project's own."""

from collections.abc import Callable
from typing import Any

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.sources import Source
from tests.dialogue_files import ASKED, TOLD, document, lines, read, saved, table


def one(source: Source, **reading: Any) -> Dialogue:
    """Return the only dialogue of a source."""
    (dialogue,) = read(source, reading=Reading(**reading))
    return dialogue


def sharegpt(*entries: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a ShareGPT row."""
    return {
        "conversations": list(entries) or [{"from": "human", "value": ASKED}, {"from": "gpt", "value": TOLD}]
    } | fields


def esconv(**fields: Any) -> dict[str, Any]:
    """Return a dialogue of ESConv."""
    dialog: list[dict[str, Any]] = [
        {"speaker": "seeker", "annotation": {}, "content": ASKED},
        {"speaker": "supporter", "annotation": {"strategy": "Question"}, "content": "How come?"},
        {"speaker": "supporter", "annotation": {"strategy": "Others"}, "content": TOLD},
        {"speaker": "seeker", "annotation": {"feedback": "4"}, "content": "It does."},
    ]
    survey = {
        "seeker": {"initial_emotion_intensity": "5", "empathy": "4", "relevance": "3"},
        "supporter": {"relevance": "2"},
    }
    row = {"experience_type": "Past", "emotion_type": "anger", "problem_type": "bread", "situation": "A kitchen."}
    return row | {"survey_score": survey, "dialog": dialog, "seeker_question1": "No."} | fields


def task(**fields: Any) -> dict[str, Any]:
    """Return a finished task of EQ-Bench3."""
    thoughts = "# I'm thinking & feeling\n\nHungry.\n\n# They’re thinking & feeling\n\nAshamed.\n\n"
    answer = f"{thoughts}# My response\n\n{TOLD}\n\n--\n"
    history = [{"role": "user", "content": f"{ASKED}\n\nKeep to the form."}, {"role": "assistant", "content": answer}]
    return {
        "scenario_id": "1",
        "prompts": [ASKED],
        "status": "rubric_scored",
        "conversation_history": history,
        "rubric_scores": {"warmth": 12.0, "insight": 15},
    } | fields


def eqbench3(*tasks: dict[str, Any], model: str = "baker-7b") -> dict[str, Any]:
    """Return the runs of EQ-Bench3 with one run of these tasks."""
    numbered = {str(place): each for place, each in enumerate(tasks, 1)}
    return {
        "__metadata__": {"version": 1},
        "k1_baker": {"model_name": model, "judge_model": "j", "status": "completed", "scenario_tasks": {"1": numbered}},
    }


def ieval(bots: tuple[str, ...] = ("Pink", "Green"), log: str = f"- {ASKED}\n- {TOLD}") -> dict[str, Any]:
    """Return a record of iEval."""

    def side(name: str) -> dict[str, Any]:
        rated = {bot: {"chat_log": log, "P": 3, "^P": 1, "Rating": 2} for bot in bots}
        return {"conv_id": f"c-{name}", "emotion": name, "prompt": "Bread."} | rated

    return {"part": 0, "TEQ_agg": 40, "positive": side("proud"), "negative": side("sad")}


def sage(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a conversation of SAGE."""
    history = [
        {"role": "user", "content": ASKED, "emotion-point": 40},
        {"role": "assistant", "content": TOLD},
        {"role": "user", "content": "It does.", "emotion-point": 55, "thinking": {}, "planning": {}},
    ]
    row = {"id": "s1", "emo_point": 55, "emo_state": "B", "target": "eq", "player": "A baker.", "scene": "A kitchen."}
    return row | {"topic": "bread", "task": "vent", "character": "calm", "history": list(messages) or history} | fields


def sample(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return a sample of an inspect_ai log."""
    said = [
        {"role": "system", "content": "You are a friend."},
        {"role": "user", "content": "attachment://f00"},
        {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": TOLD}]},
    ]
    row = {"id": 7, "epoch": 1, "input": ASKED, "target": "", "messages": list(messages) or said}
    scores = {"warmth": {"value": 4, "explanation": "warm"}, "pass": {"value": "C"}}
    return row | {"scores": scores, "attachments": {"f00": ASKED}, "metadata": {"topic": "bread"}} | fields


def log(*samples: dict[str, Any]) -> dict[str, Any]:
    """Return an inspect_ai log."""
    about = {"task": "bread", "model": "openai/baker"}
    return {"version": 2, "status": "success", "eval": about, "plan": {}, "samples": list(samples) or [sample()]}


ED_HEADER = "conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags\n"
ED = (
    f"{ED_HEADER}hit:1_conv:2,1,ashamed,Bread_comma_ burned.,9,The bread_comma_ it burned.,5|4|5_2|3|1,\n"
    'hit:1_conv:2,2,ashamed,Bread_comma_ burned.,8,"Oh" no!,5|4|5_2|3|1,,more,cells\n'
)


def epitome(level: str, rationales: str = "", response: str = "r1") -> dict[str, str]:
    """Return a row of EPITOME."""
    row = {"sp_id": "s1", "rp_id": response, "seeker_post": ASKED, "response_post": TOLD}
    return row | {"level": level, "rationales": rationales}


def annomi(number: int, who: str, text: str, **fields: str) -> dict[str, str]:
    """Return a row of AnnoMI."""
    about = {"transcript_id": "0", "mi_quality": "high", "video_title": "t", "video_url": "u", "topic": "bread"}
    codes = {"main_therapist_behaviour": "n/a", "client_talk_type": "n/a"}
    return about | {"utterance_id": str(number), "interlocutor": who, "utterance_text": text} | codes | fields


ANNOMI = [
    annomi(0, "therapist", "How was the bread?", main_therapist_behaviour="question"),
    annomi(1, "client", ASKED, client_talk_type="sustain"),
    annomi(2, "therapist", TOLD, main_therapist_behaviour="reflection"),
]


def write_empathetic() -> Source:
    """Write EmpatheticDialogues."""
    return saved(ED.encode(), "test.csv")


SAMPLES: dict[str, Callable[[], Source]] = {
    "sharegpt": lambda: saved(lines(sharegpt())),
    "eqbench3": lambda: document(eqbench3(task())),
    "esconv": lambda: document([esconv()]),
    "empathetic": write_empathetic,
    "epitome": lambda: table(epitome("1")),
    "annomi": lambda: table(*ANNOMI),
    "ieval": lambda: document([ieval()]),
    "sage": lambda: saved(lines(sage())),
    "inspect": lambda: document(log()),
    "csv": lambda: table({"seeker": ASKED, "supporter": TOLD}),
}
