"""Data sets of what people said to each other and how it was rated."""

from pathlib import Path

import pytest

from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.dialogues.files.sources import source_of
from tests.dialogue_files import ASKED, TOLD, census_of, document, lines, read, saved, seeker, supporter, table
from tests.published import ANNOMI, ED, ED_HEADER, epitome, esconv, one, sharegpt, write_empathetic


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
    assert remark.startswith("test.csv: 1 row has more cells than the header, the first at line 3; ")
    assert remark.endswith("the extra cells are ignored")


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
