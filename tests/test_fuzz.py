"""Fuzzing: whatever a file, a judge or a run folder holds, the claims of `tests.fuzz.claims` stand."""

import gzip
import io
import json
import tempfile
import zipfile
from pathlib import Path
from random import Random
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.dialogues.files.columns import Columns
from perm_cli.dialogues.files.reading import Reading
from perm_cli.prompts.rubrics import load_rubrics
from perm_cli.prompts.shipped import shipped
from perm_cli.ratings.rating import rating_line
from perm_cli.words import FormatName
from tests import test_formats_foreign as foreign
from tests import test_formats_training as training
from tests.dialogue_files import messages, native, paper
from tests.fuzz.claims import (
    dialogues_are_read_or_refused,
    rating_is_typed_or_none,
    reply_is_read_or_failed,
    run_opens_or_is_refused,
    verdict_is_sound,
)
from tests.fuzz.mutations import DEEP, KEYS, TEXTS, VALUES, json_line, mutated, spliced
from tests.makers import DIMENSIONS, rating, row
from tests.test_replies import body
from tests.test_verdicts import JSON_ITEMS, PIECES

PACK = load_rubrics(shipped("rubrics") / "perm")  # no fixture: Hypothesis would print all of it with every failure
JSON = st.recursive(
    st.sampled_from([*VALUES, *TEXTS]) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
READINGS = st.builds(
    Reading,
    format=st.just("auto") | st.sampled_from(get_args(FormatName)),
    roles=st.sampled_from([None, {"user": "seeker", "tool": "supporter"}]),
    turns=st.sampled_from(["all", "last"]),
)
BY_COLUMNS = st.builds(
    Reading,
    columns=st.builds(
        Columns,
        fields=st.dictionaries(st.sampled_from(["id", "text", "role", "turn", "seeker"]), st.sampled_from(KEYS)),
        labels=st.dictionaries(st.sampled_from(KEYS), st.sampled_from(KEYS)),
    ),
)
ENDINGS = ("", ".jsonl", ".json", ".csv", ".tsv", ".parquet", ".eval", ".txt")
NAMES = st.builds(lambda ending, packed: f"d{ending}{packed}", st.sampled_from(ENDINGS), st.sampled_from(["", ".gz"]))
DIMENSION_NAMES = st.sampled_from(DIMENSIONS)
FINISH_REASONS = st.sampled_from(["stop", "length"])

PARTS = [
    {"type": "text", "text": "That"},
    {"type": "text", "text": "hurts."},
]
ROWS = [
    row(scenario="S", persona="P", labels={"x": 1}, meta={"y": [2]}),
    native(turns=[{"role": "supporter", "text": "x", "analysis": "y"}]),
    messages(),
    messages({"role": "system", "content": "x"}, {"role": "assistant", "content": PARTS}, id="m", labels={}),
    messages({"role": "assistant", "content": None, "tool_calls": [{}]}, {"role": "assistant", "content": "x"}),
    paper(),
    paper(id="p", system="s", labels={"x": 1}),
]
CHOICE = {
    "logprobs": {"content": [{"token": "4", "bytes": [52], "top_logprobs": [{"token": "4", "logprob": -0.5}]}]},
    "finish_reason": "stop",
}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
BODIES = [
    body({"content": "4", "refusal": None}, model="m", usage=USAGE, **CHOICE),
    body({"content": [{"type": "text", "text": "4"}]}, usage={"prompt_cache_hit_tokens": 1}, **CHOICE),
]
FAILURE = {"kind": "timeout", "message": "late", "transient": True}
RATINGS = [
    orjson.loads(rating_line(each))
    for each in (
        rating(key="a", distribution={"3": 1.0, "missing": 0.0}, cost_usd=0.1, raw="Score: 3"),
        rating(key="b", dimension="bystander", score=65.0, items={"clarity": 13}),
        rating(key="c", status="failed", score=None, error=FAILURE),
    )
]
COMMAND = {"settings": "x", "ratings": 3}
RECORD = {"perm_run": 1, "settings": {"x": {"judge": {"name": "j"}, "caveat": ""}}, "commands": [COMMAND]}


def changed(values: list[Any]) -> st.SearchStrategy[Any]:
    """Return values with up to three places changed."""

    def change(value: Any, random: Random, times: int) -> Any:
        for _ in range(times):
            value = mutated(value, random)
        return value

    return st.builds(change, st.sampled_from(values), st.randoms(use_true_random=False), st.integers(0, 3))


def lines(values: list[Any]) -> st.SearchStrategy[bytes]:
    """Return a file of valid lines, changed ones and worse, whose last line may be cut."""
    line = st.sampled_from(values).map(json_line) | changed(values).map(json_line) | st.binary(max_size=9)
    return st.builds(
        lambda parts, end: b"\n".join(parts) + end, st.lists(line, max_size=4), st.sampled_from([b"\n", b""])
    )


FOREIGN = [
    foreign.sharegpt(id="g"),
    foreign.eqbench3(foreign.task()),
    foreign.esconv(id="e"),
    foreign.ieval(),
    foreign.sage(),
    foreign.log(),
    foreign.epitome("1", "a|b"),
    *foreign.ANNOMI,
    {"conv_id": "c", "utterance_idx": "1", "utterance": "x", "prompt": "p", "selfeval": "5|4_3"},
    {"id": "d", "role": "supporter", "text": "x", "turn": 1, "label.x": "4", "labels": "{}", "analysis": ""},
    {"seeker": "x", "supporter": "# Analysis\nx\n# Response\ny"},
    [training.USER, training.BOT],
    ["user: x", "agent: y"],
    *training.PAIRS.values(),
    {"instruction": "x", "input": "y", "output": "z", "history": [["a", "b"]], "id": 1, "label": True},
    {"turns": [training.USER, training.BOT], "scenario": "S", "user_description": "P", "name": "n"},
    training.promptfoo(training.result()),
    *(half for pair in training.BATCHES.values() for half in pair),
    training.question(),
    {"question_id": 81, "model_id": "m", "choices": [{"turns": ["x", "y"]}]},
]


def tables(values: list[Any]) -> st.SearchStrategy[bytes]:
    """Return tables of valid rows, changed ones and worse, in CSV or nearly so."""
    cell = st.sampled_from([*TEXTS, '"', ",", "\r", "_comma_"]) | st.sampled_from(values).map(str)

    def table(row: Any, cells: list[str], cut: int) -> bytes:
        head = ",".join(row) if isinstance(row, dict) else ""
        body = ",".join(str(value) for value in row.values()) if isinstance(row, dict) else ""
        text = f"{head}\n{body}\n{','.join(cells)}\n{body}"
        return text[: len(text) - cut].encode(errors="surrogatepass")

    return st.builds(table, changed(values), st.lists(cell, max_size=9), st.sampled_from([0, 0, 1, 9]))


FILES = {
    "ratings.jsonl": lines(RATINGS),
    "run.json": changed([RECORD]).map(json_line),
    "dialogues.jsonl": lines(ROWS[:2]),
}


@settings(deadline=None, max_examples=150)
@given(content=st.binary() | JSON.map(json_line), name=NAMES, packed=st.booleans(), reading=READINGS)
def test_any_bytes_and_any_json_are_dialogues_or_refused(
    content: bytes, name: str, packed: bool, reading: Reading
) -> None:
    """A user who names the wrong file is told so in a line, in whatever format he said it was."""
    dialogues_are_read_or_refused(gzip.compress(content) if packed else content, name, reading)


@settings(deadline=None, max_examples=250)
@given(content=changed(FOREIGN) | st.lists(changed(FOREIGN), max_size=3), name=NAMES, reading=READINGS | BY_COLUMNS)
def test_damaged_data_sets_are_dialogues_or_refused(content: Any, name: str, reading: Reading) -> None:
    """Others publish them, in as many shapes as there are tools."""
    text = json_line(content)

    dialogues_are_read_or_refused(gzip.compress(text) if name.endswith(".gz") else text, name, reading)


@settings(deadline=None, max_examples=150)
@given(content=tables(FOREIGN), reading=READINGS | BY_COLUMNS)
def test_damaged_tables_are_dialogues_or_refused(content: bytes, reading: Reading) -> None:
    """Everybody writes CSV, and no two programs the same."""
    dialogues_are_read_or_refused(content, "d.csv", reading)


@settings(deadline=None, max_examples=100)
@given(
    samples=st.lists(changed([foreign.sample()]), max_size=2),
    header=changed([foreign.log()]),
    cut=st.integers(0, 60),
    random=st.randoms(use_true_random=False),
)
def test_damaged_logs_are_dialogues_or_refused(samples: list[Any], header: Any, cut: int, random: Random) -> None:
    """A zip file says of itself how large it is and where everything stands."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json_line(header))
        for place, each in enumerate(samples):
            archive.writestr(f"samples/{place}_epoch_1.json", json_line(each))
    content = bytearray(stream.getvalue())
    for _ in range(random.randrange(3)):
        content[random.randrange(len(content))] ^= 1 << random.randrange(8)

    dialogues_are_read_or_refused(bytes(content[: len(content) - cut // 20 * cut]), "d.eval", Reading())


@settings(deadline=None, max_examples=250)
@given(content=lines(ROWS), reading=READINGS)
def test_damaged_rows_of_every_format_are_dialogues_or_refused(content: bytes, reading: Reading) -> None:
    """What passes the check can be kept in a run folder, or the run would end in the middle."""
    dialogues_are_read_or_refused(content, "d.jsonl", reading)


@pytest.mark.parametrize("field", ["labels", "meta"])
def test_what_is_deeper_than_can_be_kept_is_refused_before_the_first_call(field: str) -> None:
    """JSON is read deeper than it is written; the run must not find that out when it keeps the dialogues."""
    dialogues_are_read_or_refused(json_line(native(**{field: {"": DEEP}})), "d.jsonl", Reading())


@settings(deadline=None)
@given(content=lines(ROWS), cut=st.integers(0, 200), random=st.randoms(use_true_random=False))
def test_a_damaged_gzip_file_is_dialogues_or_refused(content: bytes, cut: int, random: Random) -> None:
    """Downloads break off, and disks turn bits."""
    packed = bytearray(gzip.compress(content))
    packed[random.randrange(len(packed))] ^= 1 << random.randrange(8)

    dialogues_are_read_or_refused(bytes(packed[: len(packed) - cut]), "d.jsonl.gz", Reading())


@pytest.mark.parametrize("content", [b"{}\n", json_line(messages())])
@pytest.mark.parametrize(
    "name",
    [pytest.param("caf\udce9.jsonl", id="not-utf-8"), pytest.param("a\x1b[31m\nb.jsonl", id="control-characters")],
)
def test_a_file_of_any_name_is_dialogues_or_refused(name: str, content: bytes) -> None:
    """Linux lets a file be called almost anything, and generated ids and problems hold its name."""
    shown = name.replace("\udce9", "\\udce9").replace("\x1b", "\\u001b").replace("\n", " ")

    dialogues_are_read_or_refused(content, name, Reading(), shown)


@settings(deadline=None, max_examples=200)
@given(
    reply=st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=25).map("".join) | JSON.map(json.dumps),
    name=DIMENSION_NAMES,
    finish_reason=FINISH_REASONS,
)
def test_a_verdict_is_sound_whatever_the_judge_says(reply: str, name: str, finish_reason: str) -> None:
    """A score that was not stated is worse than none."""
    verdict_is_sound(reply, PACK.dimensions[name], finish_reason)


REPLIES = [
    "**Reason:** near, warm.\n\n**Score: 4**/5",
    '<think>2?</think>\n```json\n{"rationale": "near", "score": 4}\n```',
    "| Aspect | Value |\n|---|---|\n| Score | 4/5 |",
    JSON_ITEMS,
    "\n".join(f"{place}. **{name}:** 1{place}/20 (3 parts)" for place, name in enumerate(json.loads(JSON_ITEMS), 1)),
]


@settings(deadline=None, max_examples=300)
@given(
    reply=st.sampled_from(REPLIES),
    times=st.integers(0, 4),
    random=st.randoms(use_true_random=False),
    name=DIMENSION_NAMES,
    finish_reason=FINISH_REASONS,
)
def test_a_verdict_is_sound_however_a_good_reply_is_spoiled(
    reply: str, times: int, random: Random, name: str, finish_reason: str
) -> None:
    """Half a good reply is more tempting to read than none."""
    for _ in range(times):
        reply = spliced(reply, PIECES, random)

    verdict_is_sound(reply, PACK.dimensions[name], finish_reason)


OFF_THE_SCALE = (st.integers(-(10**6), 10**6) | st.integers(10**8, 10**400)).filter(
    lambda number: not 0 <= number <= 20
)


@settings(deadline=None, max_examples=50)
@given(number=OFF_THE_SCALE)
@pytest.mark.parametrize(
    "form",
    [
        "Score: {}",
        "**Score:** {}/5",
        "{}",
        "<score>{}</score>",
        "| Score | {} |",
        '{{"score": {}}}',
        '{{"score": "{}"}}',
    ],
)
def test_a_number_off_the_scale_is_never_clamped(form: str, number: int) -> None:
    """A judge that answers 9 of 5 has not understood; nobody knows what it meant."""
    assert verdict_is_sound(form.format(number), PACK.dimensions["reception"]).score is None


@settings(deadline=None, max_examples=50)
@given(number=OFF_THE_SCALE)
@pytest.mark.parametrize(
    "form", [pytest.param('"accuracy": {}}}', id="json"), pytest.param("}}\nAccuracy: {}", id="text behind json")]
)
def test_an_item_off_the_scale_is_never_clamped(form: str, number: int) -> None:
    """A sum with one clamped item in it looks like any other."""
    reply = JSON_ITEMS.replace('"accuracy": 16}', form.format(number)).replace(", }", "}")

    assert verdict_is_sound(reply, PACK.dimensions["bystander"]).score is None


@settings(deadline=None, max_examples=300)
@given(answer=changed(BODIES), name=DIMENSION_NAMES)
def test_an_answer_becomes_a_reply_or_a_failed_call(answer: Any, name: str) -> None:
    """One odd answer of a server must not end a run of a million calls."""
    if isinstance(answer, dict):
        reply_is_read_or_failed(answer, PACK.dimensions[name])


DEEPER = orjson.loads(b"[" * 1000 + b"]" * 1000)  # as deep as an endpoint's answer may be, too deep for `str`


def choices(probability: object) -> dict[str, Any]:
    """Return log-probabilities of one token, of which this is one."""
    return {"content": [{"token": "4", "top_logprobs": [{"token": "4", "logprob": probability}]}]}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(body({"content": "4"}, finish_reason=DEEPER), id="deep-finish-reason"),
        pytest.param(body({"content": [{"text": DEEPER}]}), id="deep-text"),
        pytest.param(body({"content": "4"}, model=DEEPER), id="deep-model"),
        pytest.param(body({"content": "4"}, usage={"prompt_tokens": 2**63}), id="more-tokens-than-can-be-kept"),
        pytest.param(body({"content": "4"}, usage={"prompt_tokens": 10**400}), id="more-tokens-than-can-be-priced"),
        pytest.param(body({"content": "4"}, logprobs={"content": [{"token": "4", "bytes": 2**62}]}), id="huge-token"),
        pytest.param(body({"content": "4"}, logprobs=choices("nan")), id="no-probability"),
        pytest.param(body({"content": "4"}, logprobs=choices(10**400)), id="huge-probability"),
    ],
)
def test_an_answer_that_goes_too_far_becomes_a_reply_or_a_failed_call(answer: dict[str, Any]) -> None:
    """Each of these would end a run, or be paid for again at every resume."""
    reply_is_read_or_failed(answer, PACK.dimensions["reception"])


@settings(deadline=None, max_examples=150)
@given(
    answer=st.fixed_dictionaries({"choices": JSON | st.lists(JSON, min_size=1, max_size=2)}, optional={"usage": JSON})
)
def test_any_json_becomes_a_reply_or_a_failed_call(answer: dict[str, Any]) -> None:
    """The address may be that of something else altogether."""
    reply_is_read_or_failed(answer, PACK.dimensions["reception"])


@settings(deadline=None, max_examples=300)
@given(line=st.binary() | JSON.map(json_line) | changed(RATINGS).map(json_line))
def test_a_line_of_ratings_holds_a_rating_of_the_right_types_or_none(line: bytes) -> None:
    """Half a rating that looks like one would be fused with the others."""
    rating_is_typed_or_none(line)


@settings(deadline=None, max_examples=100)
@given(files=st.fixed_dictionaries({}, optional=FILES | {"rewards.jsonl": st.binary(max_size=9)}))
def test_a_run_folder_in_any_state_opens_or_is_refused(files: dict[str, bytes]) -> None:
    """What was paid for is in there, and whoever wrote last may have been killed."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        run_opens_or_is_refused(Path(folder), files)


@settings(deadline=None, max_examples=60)
@given(files=st.dictionaries(st.sampled_from(list(FILES)), st.binary() | JSON.map(json_line), min_size=1))
def test_a_run_folder_with_anything_in_it_opens_or_is_refused(files: dict[str, bytes]) -> None:
    """Folders are copied, synchronised and edited by other programs."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        run_opens_or_is_refused(Path(folder), files)
