"""Data sets and logs of others: what is wrong in them, and the published files."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from perm_cli.dialogues.files.reading import Reading
from perm_cli.dialogues.files.roles import read_roles
from perm_cli.dialogues.files.sources import Source, source_of
from tests.dialogue_files import (
    ALL_NAMES,
    ASKED,
    NO_WORD,
    OTHER_NAMES,
    TOLD,
    census_of,
    document,
    lines,
    read,
    refusal,
    saved,
    table,
    told,
)
from tests.published import (
    ANNOMI,
    ED_HEADER,
    annomi,
    epitome,
    eqbench3,
    esconv,
    ieval,
    log,
    sage,
    sample,
    sharegpt,
    task,
    write_empathetic,
)


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
            "d.json: samples: none found in a log with status 'error', expected at least one with a reply",
            id="inspect: no samples",
        ),
        pytest.param(
            lambda: document({"eval": {}, "status": "started"}),
            "d.json: samples: none found in a log with status 'started', expected at least one with a reply",
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
