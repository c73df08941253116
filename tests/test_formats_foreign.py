"""Data sets and logs of others, read as they are published; all words in these fixtures are this project's own."""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import read_roles
from perm_cli.dialogues.files.sources import Source, source_of
from tests.test_formats import ALL_NAMES, NO_WORD, OTHER_NAMES, census_of, lines, read, refusal, saved, told

ASKED, TOLD = "The bread burned.", "That smell stays for days."


def seeker(text: str = ASKED) -> Turn:
    """Return a turn of the seeker's."""
    return Turn(role="seeker", text=text)


def supporter(text: str = TOLD, analysis: str | None = None) -> Turn:
    """Return a turn of the supporter's."""
    return Turn(role="supporter", text=text, analysis=analysis)


def document(value: object, name: str = "d.json") -> Source:
    """Write a JSON document as people write it, over many lines."""
    return saved(json.dumps(value, indent=1).encode(), name)


def table(*rows: dict[str, Any], name: str = "d.csv") -> Source:
    """Write a CSV file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return saved(text.getvalue().encode(), name)


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


@pytest.mark.parametrize("name", SAMPLES)
def test_each_format_is_recognised_by_its_keys(name: str) -> None:
    """Nobody should have to know what a file is called in this program."""
    (census,) = census_of(SAMPLES[name]())

    assert census.format == name
    assert census.dialogues >= 1
    assert all(name == "empathetic" for remark in census.remarks)


@pytest.mark.parametrize("name", SAMPLES)
def test_each_format_is_read_twice_to_the_same_dialogues(name: str) -> None:
    """The program checks, then reads; ratings are found again by id."""
    source = SAMPLES[name]()

    assert read(source) == read(source)


@pytest.mark.parametrize("name", SAMPLES)
def test_each_format_is_read_from_standard_input_by_its_name_at_least(name: str) -> None:
    """A pipe has no ending that says what comes."""
    content = SAMPLES[name]().path.read_bytes()
    Path("spooled").write_bytes(content)

    dialogues = read(Source(name="stdin", path=Path("spooled")), reading=Reading(format=name))  # type: ignore[arg-type]  # a name of the table

    assert dialogues


def test_sharegpt_names_become_roles_and_the_system_is_an_instruction() -> None:
    """`system` names nobody there; `model` does."""
    dialogue = one(saved(lines(sharegpt(id=5, system="Be kind.", model="baker-7b", labels={"x": 1}))))

    assert dialogue == Dialogue(id="5", turns=(seeker(), supporter()), system="baker-7b", labels={"x": 1})


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"conversation": [{"human": ASKED, "assistant": TOLD}], "system": "x"}, id="ms-swift"),
        pytest.param(
            {"conversations": [{"role": "user", "content": ASKED}, {"role": "assistant", "content": TOLD}]}, id="role"
        ),
        pytest.param(
            sharegpt(
                {"from": "system", "value": "x"},
                {"from": "human", "value": ASKED},
                {"from": "function_call", "value": "{}"},
                {"from": "gpt", "value": f"# Analysis\nHm.\n# Response\n{TOLD}"},
            ),
            id="silent names and sections",
        ),
    ],
)
def test_variants_of_sharegpt_are_read(row: dict[str, Any]) -> None:
    """Many tools write it, each its own way."""
    assert [(turn.role, turn.text) for turn in one(saved(lines(row))).turns] == [("seeker", ASKED), ("supporter", TOLD)]


def test_what_one_side_says_twice_in_a_row_is_one_turn() -> None:
    """A reply in two messages is one reply."""
    told_twice = [{"from": "gpt", "value": text} for text in ("# Analysis\nA\n# Response\nR", "S")]

    dialogue = one(saved(lines(sharegpt({"from": "human", "value": ASKED}, *told_twice))))

    assert dialogue.turns == (seeker(), supporter("R\nS", "A"))


def test_an_answer_of_eqbench3_is_taken_apart_and_its_prompt_freed_of_the_form() -> None:
    """Its first two sections are never shown to the other side; the form it must keep is no part of the talk."""
    dialogue = one(document(eqbench3(task())))

    assert dialogue == Dialogue(
        id="1:1",
        turns=(seeker(), supporter(TOLD, "Hungry.\n\nAshamed.")),
        system="baker-7b",
        labels={"judge": {"warmth": 12.0, "insight": 15}},
        meta={"judge_model": "j"},
    )


@pytest.mark.parametrize(
    ("answer", "turn"),
    [
        pytest.param(
            f"# Perspective-taking\nP\n# Draft brainstorming\nB\n# Draft\n{TOLD}", supporter(TOLD, "P\n\nB"), id="draft"
        ),
        pytest.param(TOLD, supporter(), id="no sections"),
        pytest.param(f"<think>x</think>## **My response:**\n{TOLD}\n---\nBye", supporter(), id="marks and a rule"),
    ],
)
def test_other_answers_of_eqbench3_are_read_too(answer: str, turn: Turn) -> None:
    """Messages are drafted there, and models bend the form."""
    history = [{"role": "user", "content": ASKED}, {"role": "assistant", "content": answer}]

    assert one(document(eqbench3(task(conversation_history=history)))).turns[1] == turn


def test_tasks_of_eqbench3_without_a_finished_dialogue_are_passed_over_with_a_remark() -> None:
    """A run that broke off is no reason to judge nothing, and nothing is left out in silence."""
    unfinished = task(prompts=[ASKED, "And now?"])
    runs = eqbench3(unfinished, task(), task(conversation_history=[]))
    runs["k1_baker"]["scenario_tasks"]["1"]["401"] = task()

    (census,) = census_of(document(runs))

    assert census.dialogues == 1
    reason = "1 of 2 replies found, expected a finished task"
    first = "k1_baker.scenario_tasks.1.1"
    assert [str(each) for each in census.remarks] == [f"d.json: 3 records passed over, the first at {first}: {reason}"]


def test_runs_of_eqbench3_travel_gzipped() -> None:
    """The published runs do."""
    packed = gzip.compress(json.dumps(eqbench3(task()), indent=1).encode())

    assert one(saved(packed, "runs.json.gz")).id == "1:1"


def test_esconv_keeps_survey_strategies_and_feedback() -> None:
    """Numbers are strings there, and both sides answer to relevance; notes follow their turns when these are joined."""
    dialogue = one(document([esconv()]))

    assert dialogue == Dialogue(
        id="1",
        system="d",
        turns=(seeker(), supporter(f"How come?\n{TOLD}"), seeker("It does.")),
        scenario="A kitchen.",
        labels={
            "survey_initial_emotion_intensity": 5,
            "survey_empathy": 4,
            "survey_relevance": 3,
            "supporter_relevance": 2,
            "turns": {"2": {"strategy": ["Question", "Others"]}, "3": {"feedback": 4}},
        },
        meta={"experience_type": "Past", "emotion_type": "anger", "problem_type": "bread", "seeker_question1": "No."},
    )


@pytest.mark.parametrize(
    ("names", "key"),
    [pytest.param(("speaker", "listener"), "content", id="failed"), pytest.param(("usr", "sys"), "text", id="hub")],
)
def test_the_other_editions_of_esconv_are_read(names: tuple[str, str], key: str) -> None:
    """The same data go round under three sets of names."""
    said = [{"speaker": name, key: f"{text}\n"} for name, text in zip(names, (ASKED, TOLD), strict=True)]

    dialogue = one(saved(lines(esconv(dialog=[said[0], said[1] | {"strategy": "Question"}]))))

    assert dialogue.turns == (seeker(), supporter())
    assert dialogue.labels["turns"] == {"2": {"strategy": "Question"}}


def test_empathetic_dialogues_are_put_together_and_their_commas_restored() -> None:
    """Nothing is quoted there, and some lines have more cells than the header."""
    assert one(write_empathetic()) == Dialogue(
        id="hit:1_conv:2",
        system="test",
        turns=(seeker("The bread, it burned."), supporter('"Oh" no!')),
        scenario="Bread, burned.",
        labels={"selfeval": [[5, 4, 5], [2, 3, 1]]},
        meta={"emotion": "ashamed"},
    )


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(
            'c,1,sad,"Bread, burned.",9,"The bread, it burned.",,\nc,2,sad,"Bread, burned.",8,"Oh, no.",,\n',
            id="commas",
        ),
        pytest.param(
            'c,1,sad,"Bread, burned.",9,"The bread, it burned.",,\nc,2,sad,"Bread, burned.",8,"""Oh"", no.",,\n',
            id="quotes",
        ),
        pytest.param(
            '"c",1,"sad","Bread, burned.",9,"The bread, it burned.","",""\n'
            '"c",2,"sad","Bread, burned.",8,"Oh\nno.","",""\n',
            id="everything, over lines",
        ),
    ],
)
def test_empathetic_dialogues_that_another_program_wrote_are_read_by_their_quotes(rows: str) -> None:
    """A data frame quotes what it must; the reply is the utterance, not the number beside it."""
    dialogue = one(saved(f"{ED_HEADER}{rows}".encode(), "d.csv"))

    assert dialogue.turns[0] == seeker("The bread, it burned.")
    assert dialogue.turns[1].text.strip('"').startswith("Oh")
    assert dialogue.scenario == "Bread, burned."


def test_cells_behind_the_last_column_are_left_out_with_a_remark() -> None:
    """Candidates stand there in the original files; elsewhere they may be half of a sentence."""
    (census,) = census_of(write_empathetic())

    (remark,) = map(str, census.remarks)
    assert remark.startswith("test.csv: 1 row with more cells than the header found, the first at line 3; ")
    assert remark.endswith("the cells behind the last column are left out")


@pytest.mark.parametrize("name", ["ed_original.csv", "ed_resaved.csv"])
def test_empathetic_dialogues_are_the_same_however_they_were_saved(shared: Path, name: str) -> None:
    """The two files differ in nothing but their quotes."""
    folder = shared / "data" / "faults"

    texts = [[turn.text for turn in each.turns] for each in read(source_of(str(folder / name)))]

    assert texts == [[turn.text for turn in each.turns] for each in read(source_of(str(folder / "ed_original.csv")))]
    assert all(len(text) > 3 for turns in texts for text in turns)


def test_a_conversation_without_a_listener_is_passed_over() -> None:
    """The data set is not the user's to mend."""
    lonely = "hit:2_conv:3,1,x,y,9,Hello?,,\n"

    (census,) = census_of(saved(f"{ED}{lonely}".encode(), "test.csv"))

    assert census.dialogues == 1
    assert "1 record passed over, the first at line 4: no listener found" in str(census.remarks[-1])


def test_the_files_of_epitome_are_joined() -> None:
    """One response has a level on each of three mechanisms, in three files of the same columns."""
    sources = [
        table(epitome("2", "so sorry|poor you|"), name="emotional-reactions-reddit.csv"),
        saved(lines(sharegpt(id="other"))),
        table(epitome("0"), epitome("1", response="r2"), name="explorations-reddit.csv"),
        table(epitome("1", "stays for days"), name="interpretations-reddit.csv"),
    ]

    dialogues = read(*sources)

    assert [dialogue.id for dialogue in dialogues] == ["s1_r1", "s1_r2", "other"]
    assert dialogues[0].turns == (seeker(), supporter())
    assert dialogues[0].labels == {
        "emotional_reactions": 2,
        "explorations": 0,
        "interpretations": 1,
        "rationales": {"emotional_reactions": ["so sorry", "poor you"], "interpretations": ["stays for days"]},
    }
    assert dialogues[1].labels == {"explorations": 1}
    assert [(census.dialogues, list(map(str, census.remarks))) for census in census_of(*sources)] == [
        (1, []),
        (1, []),
        (1, ["explorations-reddit.csv: joined with emotional-reactions-reddit.csv"]),
        (0, ["interpretations-reddit.csv: joined with emotional-reactions-reddit.csv"]),
    ]


def test_a_file_of_epitome_by_itself_is_enough() -> None:
    """A pair that was labelled twice keeps both levels beside the first."""
    dialogue = one(table(epitome("2"), epitome("0"), name="my-explorations.csv"))

    assert dialogue.labels == {"explorations": 2, "levels": {"explorations": [2, 0]}}


def test_an_unknown_file_of_epitome_has_a_plain_level() -> None:
    """Which mechanism it is about is said by its name only."""
    assert one(table(epitome("2"), name="x.csv")).labels == {"level": 2}


@pytest.mark.parametrize(("fields", "own"), [({"id": "7"}, "7"), ({}, "2")])
def test_a_sample_of_epitome_without_labels_is_read(fields: dict[str, str], own: str) -> None:
    """The authors ship such a file to try their program with."""
    dialogue = one(table(fields | {"seeker_post": ASKED, "response_post": TOLD}))

    assert (dialogue.id, dialogue.turns, dialogue.labels) == (own, (seeker(), supporter()), {})


def test_a_transcript_of_annomi_keeps_what_was_noted_about_it() -> None:
    """Quality is a label of the transcript, behaviours are labels of its turns."""
    assert one(table(*ANNOMI)) == Dialogue(
        id="0",
        system="d",
        turns=(supporter("How was the bread?"), seeker(), supporter()),
        labels={
            "mi_quality": "high",
            "turns": {
                "1": {"main_therapist_behaviour": "question"},
                "2": {"client_talk_type": "sustain"},
                "3": {"main_therapist_behaviour": "reflection"},
            },
        },
        meta={"topic": "bread", "video_title": "t", "video_url": "u"},
    )


def test_an_utterance_with_several_annotators_is_said_once() -> None:
    """The full edition of AnnoMI repeats it for each of them."""
    rows = [each | {"annotator_id": str(who)} for each in ANNOMI[:2] for who in (3, 4)]

    dialogue = one(table(*rows))

    assert dialogue.turns == (supporter("How was the bread?"), seeker())
    assert dialogue.labels["turns"]["2"] == {f"annotator {who}": {"client_talk_type": "sustain"} for who in (3, 4)}


def test_a_record_of_ieval_is_a_dialogue_for_each_bot_and_event() -> None:
    """The bots are systems that answer under one id, so that they are compared on the same event."""
    dialogues = read(document([ieval(("Pink", "Purple", "Yellow", "Green"))]))

    assert Counter(dialogue.id for dialogue in dialogues) == {"c-proud": 4, "c-sad": 4}
    assert dialogues[1] == Dialogue(
        id="c-proud",
        turns=(seeker(), supporter()),
        scenario="Bread.",
        system="Purple",
        labels={"P": 3, "^P": 1, "Rating": 2},
        meta={"emotion": "proud", "event": "positive"},
    )


def test_a_line_of_ieval_without_a_bullet_goes_on_with_the_one_before() -> None:
    """Otherwise all later turns would change sides."""
    (dialogue, *_) = read(document([ieval(log=f"- {ASKED}\nIt did.\n\n- {TOLD}")]))

    assert dialogue.turns == (seeker(f"{ASKED}\nIt did."), supporter())


def test_sage_keeps_the_seekers_feelings() -> None:
    """They are simulated, and a reward to compare with."""
    dialogue = one(saved(lines(sage()), "baker-7b.jsonl"))

    assert dialogue == Dialogue(
        id="s1",
        turns=(seeker(), supporter(), seeker("It does.")),
        scenario="A kitchen.",
        persona="A baker.",
        system="baker-7b",
        labels={
            "simulated": {"emo_point": 55, "emo_state": "B"},
            "turns": {"1": {"simulated": {"emotion_point": 40}}, "3": {"simulated": {"emotion_point": 55}}},
        },
        meta={"target": "eq", "topic": "bread", "task": "vent", "character": "calm"},
    )


def test_a_sample_of_inspect_is_read_with_attachments_and_scores() -> None:
    """Large texts are kept apart in these logs; what the model thought is not what it said."""
    assert one(document(log())) == Dialogue(
        id="bread:7:1",
        turns=(seeker(), supporter()),
        system="openai/baker",
        labels={"judge": {"warmth": 4, "pass": "C"}},
        meta={"metadata": {"topic": "bread"}},
    )


def test_tools_and_pictures_in_a_sample_are_passed_over() -> None:
    """Neither side said them."""
    parts = [{"type": "image", "image": "data:"}, {"type": "text", "text": ASKED}]
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}
    said = [{"role": "user", "content": parts}, call, {"role": "tool", "content": "4"}]

    assert one(document(log(sample(*said, {"role": "assistant", "content": TOLD})))).turns == (seeker(), supporter())


@pytest.mark.parametrize("asked", [ASKED, [{"role": "user", "content": ASKED}]])
def test_a_sample_without_messages_is_read_from_input_and_output(asked: object) -> None:
    """Short logs keep no messages."""
    output = {"choices": [{"message": {"role": "assistant", "content": TOLD}}]}

    assert one(document(log(sample(messages=None, input=asked, output=output)))).turns == (seeker(), supporter())


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        pytest.param(
            lambda: saved(lines(sharegpt({"from": "nurse", "value": TOLD}))),
            f"d.jsonl:1: conversations[0]: role 'nurse' found, expected one of: {ALL_NAMES} {OTHER_NAMES}",
            id="sharegpt: role",
        ),
        pytest.param(
            lambda: saved(lines({"conversations": "x"})),
            "d.jsonl:1: conversations: 'x' found, expected a list that is not empty",
            id="sharegpt: type",
        ),
        pytest.param(
            lambda: saved(lines(sharegpt({"from": "gpt", "value": "# Analysis\nHm."}))),
            NO_WORD,
            id="sharegpt: nothing said",
        ),
        pytest.param(
            lambda: document([esconv(), esconv(dialog=[{"speaker": "seeker", "content": 5}])]),
            "d.json: [1].dialog[0].content: 5 found, expected some text",
            id="esconv: type",
        ),
        pytest.param(
            lambda: document([esconv(survey_score={"seeker": [1]})]),
            "d.json: [0].survey_score.seeker: a list of 1 found, expected an object",
            id="esconv: survey",
        ),
        pytest.param(
            lambda: document(eqbench3(task(conversation_history=[{"role": "narrator", "content": "x"}]))),
            "d.json: k1_baker.scenario_tasks.1.1.conversation_history[0].role: role 'narrator' found, expected one of: "
            "user, assistant (other names: --roles seeker=…,supporter=…)",
            id="eqbench3: role",
        ),
        pytest.param(
            lambda: document([ieval(bots=())]),
            "d.json: [0].positive: no bot found, expected at least one with a chat_log",
            id="ieval: no bots",
        ),
        pytest.param(
            lambda: document([ieval(bots=("Pink",), log="- ")]),
            "d.json: [0].positive.Pink.chat_log line 1: '' found, expected some text\n"
            "d.json: [0].negative.Pink.chat_log line 1: '' found, expected some text",
            id="ieval: nothing said",
        ),
        pytest.param(
            lambda: saved(f"{ED_HEADER}c,x,a,b,9,Hello.,,\n,2,a,b,9,Hello.,,\n".encode(), "d.csv"),
            "d.csv:3: conv_id: '' found, expected some text\nd.csv:2: utterance_idx: 'x' found, expected a number",
            id="empathetic: number and id",
        ),
        pytest.param(
            lambda: table(epitome("1") | {"rp_id": ""}),
            "d.csv:2: rp_id: '' found, expected some text",
            id="epitome: id",
        ),
        pytest.param(
            lambda: table(ANNOMI[0], annomi(1, "nurse", "")),
            "d.csv:3: interlocutor: role 'nurse' found, expected one of: client, therapist (other names: --roles "
            "seeker=…,supporter=…)",
            id="annomi: role",
        ),
        pytest.param(
            lambda: document(log(sample(), sample(attachments={}))),
            "d.json: samples[1].messages[1].content: 'attachment://f00' found, expected it among the attachments",
            id="inspect: attachment",
        ),
        pytest.param(
            lambda: document(log(sample(scores={"x\x1b": 1}))),
            "d.json: samples[0].scores.x\\u001b: 1 found, expected an object",
            id="inspect: score",
        ),
        pytest.param(
            lambda: document(log() | {"status": "error", "samples": []}),
            "d.json: samples: none found in a log of status 'error', expected at least one with a reply",
            id="inspect: no samples",
        ),
        pytest.param(
            lambda: document({"eval": {}, "status": "started"}),
            "d.json: samples: none found in a log of status 'started', expected at least one with a reply",
            id="inspect: a header only",
        ),
        pytest.param(
            lambda: document(log(sample({"role": "user", "content": ASKED}, error={"message": "Time out\x1b."}))),
            "d.json: 1 record passed over, the first at samples[0]: no reply found in a sample that failed (Time "
            "out\\u001b.), expected one to judge",
            id="inspect: a failed sample",
        ),
        pytest.param(
            lambda: saved(lines(sage(history=[{"role": "user", "content": ASKED}]))),
            "d.jsonl: 1 record passed over, the first at line 1: no reply found, expected one to judge",
            id="sage: no reply",
        ),
        pytest.param(
            lambda: document([esconv(), 5]), "d.json: [1]: 5 found, expected a JSON object", id="document: no object"
        ),
    ],
)
def test_what_is_wrong_in_a_foreign_file_is_named_with_its_place(source: Callable[[], Source], problem: str) -> None:
    """A record of a document is found by its path, a row by its line."""
    assert refusal(source()) == told(*problem.split("\n"))


@pytest.mark.parametrize(
    ("source", "roles"),
    [
        pytest.param(lambda: saved(lines(sharegpt())), "seeker=gpt,supporter=human", id="sharegpt"),
        pytest.param(lambda: document(eqbench3(task())), "seeker=assistant,supporter=user", id="eqbench3"),
        pytest.param(lambda: document([ieval()]), "seeker=bot,supporter=human", id="ieval"),
        pytest.param(write_empathetic, "seeker=listener,supporter=speaker", id="empathetic"),
        pytest.param(lambda: table(*ANNOMI), "seeker=therapist,supporter=client", id="annomi"),
        pytest.param(lambda: document(log()), "seeker=assistant,supporter=user", id="inspect"),
        pytest.param(lambda: saved(lines(sage())), "seeker=assistant,supporter=user", id="sage"),
    ],
)
def test_role_names_of_foreign_formats_can_be_told(source: Callable[[], Source], roles: str) -> None:
    """Whoever wants the other side judged says so."""
    plain = read(source())
    turned = read(source(), reading=Reading(roles=read_roles(roles)))

    other = {"seeker": "supporter", "supporter": "seeker"}
    assert [[turn.role for turn in each.turns] for each in turned] == [
        [other[turn.role] for turn in each.turns] for each in plain
    ]


@pytest.mark.parametrize(
    ("name", "form", "dialogues", "turns"),
    [
        pytest.param("ieval.json", "ieval", 32, 96, id="ieval"),
        pytest.param("FailedESConv.json", "esconv", 6, None, id="esconv"),
        pytest.param("sage.jsonl", "sage", 2, 19, id="sage"),
    ],
)
def test_published_files_are_read_whole(shared: Path, name: str, form: str, dialogues: int, turns: int | None) -> None:
    """The counts are those of the files themselves: lines, records, and replies."""
    source = source_of(str(shared / "data" / "formats" / name))

    (census,) = census_of(source)

    assert (census.format, census.dialogues, census.remarks) == (form, dialogues, ())
    assert turns is None or census.supporter_turns == turns
    assert all(dialogue.labels for dialogue in read(source))


def test_the_bots_of_the_published_ieval_share_their_ids(shared: Path) -> None:
    """Four records have eight events of four bots."""
    dialogues = read(source_of(str(shared / "data" / "formats" / "ieval.json")))

    assert set(Counter(dialogue.id for dialogue in dialogues).values()) == {4}
    assert {dialogue.system for dialogue in dialogues} == {"Pink", "Purple", "Yellow", "Green"}
    assert all(len(dialogue.turns) == 6 and set(dialogue.labels) >= {"Rating", "^P"} for dialogue in dialogues)


def test_the_numbers_of_the_published_esconv_are_numbers(shared: Path) -> None:
    """They are written as strings; correlations want numbers."""
    for dialogue in read(source_of(str(shared / "data" / "formats" / "FailedESConv.json"))):
        assert isinstance(dialogue.labels["survey_empathy"], int)
        assert all(each.role != other.role for each, other in zip(dialogue.turns, dialogue.turns[1:], strict=False))
        notes = dialogue.labels["turns"]
        assert {key for note in notes.values() for key in note} == {"strategy", "feedback"}
        assert all(
            "strategy" in note for turn, note in notes.items() if dialogue.turns[int(turn) - 1].role == "supporter"
        )
