"""Verdicts: every bad habit of a judge is a row; each was seen somewhere or is one step from what was."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perm_cli.prompts.rubrics import Dimension, Pack
from perm_cli.ratings.verdicts import Verdict, read_verdict
from tests.makers import DIMENSIONS

KINDS: dict[str, str] = {"scale": "reception", "bystander": "bystander"}
ITEMS = ("effectiveness", "clarity", "efficiency", "objectivity", "accuracy")
FOUR_ITEMS = "Effectiveness: 11\nClarity: 12\nEfficiency: 13\nObjectivity: 14\n"  # with an accuracy of 15: 65
JSON_ITEMS = '{"effectiveness": 16, "clarity": 16, "efficiency": 16, "objectivity": 16, "accuracy": 16}'


@pytest.fixture(scope="session")
def scale(pack: Pack) -> Dimension:
    """Return a dimension with levels."""
    return pack.dimensions["reception"]


@pytest.fixture(scope="session")
def bystander(pack: Pack) -> Dimension:
    """Return the dimension with items."""
    return pack.dimensions["bystander"]


def test_every_habit_in_the_shared_table_is_read_as_it_says(shared: Path, pack: Pack) -> None:
    """The folder beside the project is where new habits are collected."""
    lines = (shared / "data" / "judge_replies.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]

    read = {
        row["id"]: read_verdict(row["reply"], pack.dimensions[KINDS[row["kind"]]], row["finish_reason"]) for row in rows
    }

    wanted = {row["id"]: (row["status"], row["score"]) for row in rows}
    assert {name: (verdict.status, verdict.score) for name, verdict in read.items()} == wanted


TEXT = [
    pytest.param("Reason: near.\n***Score***: ***4***", "scored", 4, id="bold-italic"),
    pytest.param("**Score**\n\n**4**", "scored", 4, id="bold-heading-number-below"),
    pytest.param("## Score\n\n4\n", "scored", 4, id="heading-number-on-the-next-line"),
    pytest.param("### Score:\n\n**2/5**", "scored", 2, id="heading-with-colon-number-below"),
    pytest.param("# Final Score\n4\n\n## Remarks\nnone", "scored", 4, id="heading-then-more-text"),
    pytest.param("> Score: 3", "scored", 3, id="quote"),
    pytest.param("• Score: 3", "scored", 3, id="bullet"),
    pytest.param("`Score: 3`", "scored", 3, id="code"),
    pytest.param("Score:** 3", "scored", 3, id="half-closed-bold"),
    pytest.param("Score = 3", "scored", 3, id="equals-sign"),
    pytest.param("My overall empathy rating: 3", "scored", 3, id="rating"),
    pytest.param("The score is 3.", "scored", 3, id="in-a-sentence"),
    pytest.param("Reason: near.\r\nScore: 3\r\n", "scored", 3, id="windows-lines"),
    pytest.param("Score:\u00a03", "scored", 3, id="no-break-space"),
    pytest.param('Score: "3"', "scored", 3, id="quoted-number"),
    pytest.param("Score: <3>", "scored", 3, id="angle-brackets"),
    pytest.param("Score: {3}", "scored", 3, id="braces"),
    pytest.param("Score: 4.0/5.0", "scored", 4, id="decimals-on-both-sides"),
    pytest.param("Score: 4 of 5.", "scored", 4, id="of"),
    pytest.param("Score: 4 because it is warm", "scored", 4, id="reason-behind"),
    pytest.param("| Aspect | Value |\n|---|---|\n| Score | 4/5 |", "scored", 4, id="table-row"),
    pytest.param("| Score | -1 |", "out_of_range", None, id="table-row-negative"),
    pytest.param("|Score|4|", "scored", 4, id="table-row-without-spaces"),
    pytest.param("<rationale>Near.</rationale>\n<score>4</score>", "scored", 4, id="xml"),
    pytest.param("<SCORE>\n4 / 5\n</SCORE>", "scored", 4, id="xml-on-lines"),
    pytest.param("<score>3</score>\nNo:\n<score>2</score>", "scored", 2, id="xml-twice"),
    pytest.param("Score: 3\n<score>2</score>", "scored", 2, id="line-then-xml"),
    pytest.param("<score>2</score>\nScore: 3", "scored", 3, id="xml-then-line"),
    pytest.param("<score>9</score>", "out_of_range", None, id="xml-off-the-scale"),
    pytest.param("Answer in <score>1-5</score>", "unparseable", None, id="xml-echo"),
    pytest.param(r"The answer is $\boxed{4}$.", "scored", 4, id="boxed"),
    pytest.param(r"\boxed{6}", "out_of_range", None, id="boxed-off-the-scale"),
    pytest.param("4", "scored", 4, id="bare"),
    pytest.param(" **4** out of 5\n", "scored", 4, id="bare-out-of"),
    pytest.param("7", "out_of_range", None, id="bare-off-the-scale"),
    pytest.param("2.5", "unparseable", None, id="bare-half"),
    pytest.param("There are 4 good parts in it", "unparseable", None, id="bare-in-a-sentence"),
    pytest.param("Score: 4-5", "unparseable", None, id="range"),
    pytest.param("Score: 4–5", "unparseable", None, id="range-en-dash"),
    pytest.param("Score: 4 or 5", "unparseable", None, id="either-or"),
    pytest.param("Score: between 3 and 4", "unparseable", None, id="between"),
    pytest.param("Score: 3,5", "unparseable", None, id="decimal-comma"),
    pytest.param("Score: 3,0", "scored", 3, id="decimal-comma-whole"),
    pytest.param("Score: ４", "scored", 4, id="full-width-digit"),
    pytest.param("得分\nScore： ３", "scored", 3, id="full-width-colon-and-digit"),
    pytest.param("Score: −3", "out_of_range", None, id="minus-sign"),
    pytest.param("Score: –3", "out_of_range", None, id="en-dash-as-minus"),
    pytest.param("Score: +3", "scored", 3, id="plus-sign"),
    pytest.param("Score: 6", "out_of_range", None, id="one-above"),
    pytest.param("Score: 4\nScore: N/A", "unparseable", None, id="last-one-withdrawn"),
    pytest.param("Score: 4\nScore:", "unparseable", None, id="last-one-empty"),
    pytest.param("Score: four", "unparseable", None, id="number-word"),
    pytest.param("Score: 4/5/5", "unparseable", None, id="two-denominators"),
    pytest.param("Score: 4 out of 7", "unparseable", None, id="another-top"),
    pytest.param("Score: 4\n\nP.S. He lost 3 friends.", "scored", 4, id="number-after-the-verdict"),
    pytest.param("They say Score: 5, I do not", "unparseable", None, id="label-inside-a-line"),
    pytest.param("__Score__: 4", "scored", 4, id="bold-underscores"),
    pytest.param("| **Score** | **4** |", "scored", 4, id="bold-table-row"),
    pytest.param("原因：贴近。\n得分：3", "scored", 3, id="chinese"),
    pytest.param("理由：很好。\n**最终评分**：4/5分", "scored", 4, id="chinese-final-with-unit"),
    pytest.param("共情得分：2分（满分5分）", "scored", 2, id="chinese-remark-in-brackets"),
    pytest.param("評分: 5，因為溫暖", "scored", 5, id="chinese-traditional"),
    pytest.param("评分：9", "out_of_range", None, id="chinese-off-the-scale"),
    pytest.param("评分：3到4", "unparseable", None, id="chinese-range"),
    pytest.param("评分标准：5", "unparseable", None, id="chinese-another-word"),
    pytest.param("3个朋友走了", "unparseable", None, id="bare-number-that-counts-something"),
    pytest.param("4分", "scored", 4, id="bare-with-unit"),
]
JSON = [
    pytest.param('[{"rationale": "a", "score": 3}]', "scored", 3, id="array-of-one"),
    pytest.param('[{"score": 3}, {"score": 2}]', "scored", 2, id="array-of-two"),
    pytest.param('{"verdict": {"score": 3}}', "unparseable", None, id="nested-could-be-anything"),
    pytest.param('{"score": {"score": 3}}', "unparseable", None, id="object-for-a-number"),
    pytest.param('{"score": 2, "score": 3}', "scored", 3, id="key-twice"),
    pytest.param('{"Score": 2, "score": 3}', "scored", 3, id="key-twice-in-two-cases"),
    pytest.param('{"RATIONALE": "a", "SCORE": 3}', "scored", 3, id="upper-case-keys"),
    pytest.param('{"score": 3.0}', "scored", 3, id="whole-float"),
    pytest.param('{"score": 3.5}', "unparseable", None, id="half"),
    pytest.param('{"score": Infinity}', "unparseable", None, id="infinity"),
    pytest.param('{"score": 1e999}', "unparseable", None, id="overflow"),
    pytest.param('{"score": NaN}', "unparseable", None, id="not-a-number"),
    pytest.param('{"score": false}', "unparseable", None, id="bool"),
    pytest.param('{"score": [3]}', "unparseable", None, id="list"),
    pytest.param('{"score": 3' + "0" * 30 + "}", "out_of_range", None, id="huge"),
    pytest.param('{"score": ' + "9" * 5000 + "}", "unparseable", None, id="too-huge-for-python"),
    pytest.param('{"score": -3}', "out_of_range", None, id="negative"),
    pytest.param('{"score": "3/5"}', "scored", 3, id="fraction-in-a-string"),
    pytest.param('{"score": "3/10"}', "unparseable", None, id="wrong-fraction-in-a-string"),
    pytest.param('{"score": "high"}', "unparseable", None, id="word"),
    pytest.param('I read it twice.\n```json\n{"score": 3}\n```\nDone.', "scored", 3, id="fence-after-prose"),
    pytest.param('{\n"rationale": "a",\n"score": 3,\n}', "scored", 3, id="trailing-comma"),
    pytest.param(
        '{\n "rationale": "It says "I see you"\nand stays "with" her",\n "score": 3\n}',
        *("scored", 3),
        id="unescaped-quotes-over-lines",
    ),
    pytest.param('{"rationale": "It says "I see you"", "score": 3}', "unparseable", None, id="unescaped-on-one-line"),
    pytest.param('{"score": 3}\nOn reflection,\nScore: 2', "scored", 2, id="json-then-text"),
    pytest.param('Score: 2\n{"score": 3}', "scored", 3, id="text-then-json"),
    pytest.param('{"score": 3}\n{"score": 8}', "out_of_range", None, id="last-object-off-the-scale"),
    pytest.param('{"score": 3}\n{"note": "fine"}', "scored", 3, id="last-object-says-nothing"),
    pytest.param(r'{"score": 3, "rationale": "a\nScore: 1\n"}', "scored", 3, id="verdict-line-in-the-rationale"),
    pytest.param('{"score": 3, "rationale": "a\nScore: 1\nb"}', "scored", 3, id="verdict-line-raw"),
    pytest.param('{"rationale": "a\nScore: 1\nb"}', "unparseable", None, id="verdict-line-in-the-rationale-only"),
    pytest.param('{"rationale": "<score>1</score>", "score": 3}', "scored", 3, id="xml-in-the-rationale"),
    pytest.param(r'{"score": 3, "rationale": "{\"score\": 1}"}', "scored", 3, id="json-in-the-rationale"),
    pytest.param('{"type": "object", "properties": {"score": {"type": "integer"}}}', "unparseable", None, id="schema"),
    pytest.param("{'rationale': 'near', 'score': 3}", "scored", 3, id="single-quotes"),
    pytest.param("{'rationale': 'isn\\'t \"near\"', 'score': 3,}", "scored", 3, id="single-quotes-escaped"),
    pytest.param("{'rationale': \"it's near\", 'score': '3'}", "scored", 3, id="both-quotes"),
    pytest.param("{'rationale': 'it's near', 'score': 3}", "unparseable", None, id="single-quotes-and-an-apostrophe"),
    pytest.param("{'rationale': 'score': 3}", "unparseable", None, id="single-quotes-garbled"),
    pytest.param("{rationale: 'near', score: 3}", "unparseable", None, id="no-quotes"),
    pytest.param("{'score': 7}", "out_of_range", None, id="single-quotes-off-the-scale"),
    pytest.param("{'score': 03}", "unparseable", None, id="leading-zero"),
    pytest.param('{"rationale": "near", "score": 3, }', "scored", 3, id="trailing-comma-on-one-line"),
    pytest.param('{"rationale": "near", "score": 3,,}', "unparseable", None, id="two-commas"),
    pytest.param('{"rationale": "near" "score": 3}', "unparseable", None, id="no-comma"),
    pytest.param('{"rationale": "near", "score": 3', "unparseable", None, id="never-closed"),
    pytest.param(r"""{"rationale": "isn\'t near", "score": 3}""", "scored", 3, id="an-escape-json-does-not-know"),
    pytest.param("<think>{'score': 5}</think>{'score': 3}", "scored", 3, id="single-quotes-behind-thinking"),
    pytest.param('{"result": {"reason": "near", "score": 3}}', "scored", 3, id="one-level-down"),
    pytest.param(
        '{"a": {"reason": "x", "score": 3}, "b": {"reason": "y", "score": 2}}', *("unparseable", None), id="two"
    ),
    pytest.param('{"a": {"b": {"reason": "near", "score": 3}}}', "unparseable", None, id="two-levels-down"),
    pytest.param(
        '{"example": {"reason": "near", "score": 9}}', "out_of_range", None, id="one-level-down-off-the-scale"
    ),
    pytest.param(json.dumps('{"rationale": "near", "score": 3}'), "scored", 3, id="encoded-twice"),
    pytest.param(json.dumps('{"rationale": "near", "score": 8}'), "out_of_range", None, id="encoded-twice-off"),
    pytest.param(json.dumps("a warm reply"), "unparseable", None, id="a-string"),
    pytest.param('{"理由": "近", "评分": 3}', "scored", 3, id="chinese-keys"),
    pytest.param('```json\n{"rationale": "a <think> tag", "score": 3}\n```', "scored", 3, id="a-tag-inside-a-fence"),
    pytest.param("{" * 300 + '"score": 3', "unparseable", None, id="braces-that-never-close"),
    pytest.param('{"a":' * 5000, "unparseable", None, id="deeper-than-the-stack"),
]
THINKING = [
    pytest.param("<think>Score: 5</think>\nScore: 2", "scored", 2, id="closed"),
    pytest.param("<think>\nScore: 5\n</think><think>\nScore: 4\n</think>\nScore: 2", "scored", 2, id="several"),
    pytest.param("<THINKING>\nScore: 5\n</THINKING>\nScore: 2", "scored", 2, id="another-name"),
    pytest.param('<reasoning>{"score": 5}</reasoning>{"score": 2}', "scored", 2, id="json-both-times"),
    pytest.param("<think>a<think>b\nScore: 5</think>\nScore: 2", "scored", 2, id="start-twice"),
    pytest.param("hm\nScore: 5\n</think>\nScore: 2", "scored", 2, id="only-an-end"),
    pytest.param("<think>a</think>\nScore: 5\n</think>\nScore: 2", "scored", 2, id="an-end-too-many"),
    pytest.param("<think>\nfive or four, ", "truncated", None, id="unclosed"),
    pytest.param("Score: 4\n<think>or rather", "truncated", None, id="unclosed-after-a-verdict"),
    pytest.param("<think>Score: 4\n</think>", "unparseable", None, id="nothing-behind"),
    pytest.param("\nScore: 4\n</think>", "unparseable", None, id="nothing-behind-an-end"),
    pytest.param('{"rationale": "a stray <think> in it", "score": 2}', "scored", 2, id="tag-in-a-rationale"),
    pytest.param("<|channel|>analysis<|message|>4?\nScore: 4\nHm", "truncated", None, id="harmony-unclosed"),
    pytest.param(
        "<|channel|>analysis<|message|>{'score': 5}<|end|><|start|>assistant<|channel|>final<|message|>Score: 2",
        *("scored", 2),
        id="harmony",
    ),
    pytest.param("<|channel|>analysis<|message|>Score: 4<|end|>", "truncated", None, id="harmony-nothing-final"),
    pytest.param("[THINK]Score: 4\nor rather", "truncated", None, id="brackets-unclosed"),
    pytest.param("[THINK]Score: 4[/THINK]Score: 2", "scored", 2, id="brackets"),
    pytest.param("<mm:think>Score: 4\nor rather", "truncated", None, id="prefix-unclosed"),
    pytest.param("<think>5</think><answer>Score: 2</answer>", "scored", 2, id="answer-tags"),
]
SILENT = [
    pytest.param("I'm sorry, but I can't rate this.", "refused", None, id="sorry"),
    pytest.param("**I’m very sorry**, no.", "refused", None, id="curly-and-bold"),
    pytest.param("I cannot assist with that.", "refused", None, id="cannot"),
    pytest.param("I won't do that.", "refused", None, id="will-not"),
    pytest.param("I am unable to judge people.", "refused", None, id="unable"),
    pytest.param("I must decline.", "refused", None, id="decline"),
    pytest.param("As an AI, I hold no opinion.", "refused", None, id="as-an-ai"),
    pytest.param("I apologise.", "refused", None, id="apology"),
    pytest.param("I'm sorry for your loss, it says: warm.\nScore: 4", "scored", 4, id="sorry-and-a-verdict"),
    pytest.param(" \n\t", "unparseable", None, id="blank"),
    pytest.param("A warm reply.", "unparseable", None, id="no-verdict"),
]


@pytest.mark.parametrize(("reply", "status", "score"), [*TEXT, *JSON, *THINKING, *SILENT])
def test_a_reply_on_a_scale_is_read(reply: str, status: str, score: int | None, scale: Dimension) -> None:
    """A number that was not meant is worse than none: a rating without a score is seen, a wrong one is not."""
    verdict = read_verdict(reply, scale)

    assert (verdict.status, verdict.score) == (status, score)


def listed(form: str) -> str:
    """Return the five items in a form; their scores are 11 to 15, which makes 65."""
    names = [name.capitalize() for name in ITEMS]
    return "\n".join(form.format(n=n, name=name, score=10 + n) for n, name in enumerate(names, 1))


BYSTANDER = [
    pytest.param(listed("{n}. {name}: {score}/20 - has {n} parts"), "scored", 65, id="numbered"),
    pytest.param(listed("{n}) **{name} (0-20):** {score}"), "scored", 65, id="range-in-the-label"),
    pytest.param(listed("### {name}: {score} / 20\nIt has 3 parts."), "scored", 65, id="headings"),
    pytest.param(listed("| **{name}** | **{score}** | has {n} parts |"), "scored", 65, id="table"),
    pytest.param(listed("{name}： {score}"), "scored", 65, id="full-width-colons"),
    pytest.param(listed("* {name} = {score} out of 20 (lost 3 points)"), "scored", 65, id="remarks-in-brackets"),
    pytest.param(listed("{name}: {score}, and 2 of them good"), "scored", 65, id="remarks-behind-a-comma"),
    pytest.param(FOUR_ITEMS + "Accuracy: 0", "scored", 50, id="nought"),
    pytest.param(FOUR_ITEMS + "Accuracy: １５", "scored", 65, id="full-width-digits"),
    pytest.param(FOUR_ITEMS + "Accuracy: 3\nAccuracy: 15", "scored", 65, id="item-twice"),
    pytest.param(FOUR_ITEMS + "Accuracy: 15\nAccuracy: 21", "out_of_range", None, id="item-twice-last-off"),
    pytest.param(FOUR_ITEMS + "Accuracy: 21", "out_of_range", None, id="one-above"),
    pytest.param(FOUR_ITEMS + "Accuracy: -1", "out_of_range", None, id="one-below"),
    pytest.param(FOUR_ITEMS + "Accuracy: 15.5", "unparseable", None, id="half"),
    pytest.param(FOUR_ITEMS + "Accuracy: 8/10", "unparseable", None, id="wrong-denominator"),
    pytest.param(FOUR_ITEMS + "Accuracy: 15/20/20", "unparseable", None, id="two-denominators"),
    pytest.param(FOUR_ITEMS + "Accuracy: 4-5", "unparseable", None, id="range-of-one-digit"),
    pytest.param(FOUR_ITEMS + "Accuracy: good", "unparseable", None, id="word"),
    pytest.param(FOUR_ITEMS + "Accuracy:", "unparseable", None, id="empty-item"),
    pytest.param(FOUR_ITEMS, "unparseable", None, id="item-missing"),
    pytest.param("Total: 65", "unparseable", None, id="total-only"),
    pytest.param('{"total": 65, "score": 65}', "unparseable", None, id="total-only-in-json"),
    pytest.param("Score: 4", "unparseable", None, id="a-scale's-verdict"),
    pytest.param("I'm sorry, I can't.", "refused", None, id="refusal"),
    pytest.param("<think>\n" + FOUR_ITEMS + "</think>\n" + JSON_ITEMS, "scored", 80, id="thinking"),
    pytest.param(JSON_ITEMS, "scored", 80, id="json"),
    pytest.param(f"[{JSON_ITEMS}]", "scored", 80, id="json-array"),
    pytest.param(JSON_ITEMS.upper(), "scored", 80, id="json-upper-case"),
    pytest.param(JSON_ITEMS.replace("16", '{"score": 16, "reason": "3 facts"}'), "scored", 80, id="json-nested"),
    pytest.param(JSON_ITEMS.replace("16", '"16/20"'), "scored", 80, id="json-fractions"),
    pytest.param(JSON_ITEMS.replace("16", "16.0"), "scored", 80, id="json-floats"),
    pytest.param(JSON_ITEMS.replace("16", "16.5"), "unparseable", None, id="json-halves"),
    pytest.param(JSON_ITEMS.replace("16", "true"), "unparseable", None, id="json-bools"),
    pytest.param(JSON_ITEMS.replace("16", '{"value": 16}'), "unparseable", None, id="json-nested-other-name"),
    pytest.param(JSON_ITEMS + '\n{"accuracy": 6}', "scored", 70, id="json-item-again"),
    pytest.param(JSON_ITEMS + "\nNo:\nAccuracy: 6", "scored", 70, id="json-then-text"),
    pytest.param('{"rationale": "a\nClarity: 1\n", ' + JSON_ITEMS[1:], "scored", 80, id="item-line-in-the-rationale"),
    pytest.param(
        '{\n"rationale": "says "no" here",\n' + JSON_ITEMS[1:].replace(", ", ",\n"),
        *("scored", 80),
        id="json-unescaped-quotes",
    ),
    pytest.param(JSON_ITEMS.replace('"', "'"), "scored", 80, id="single-quotes"),
    pytest.param('{"assessment": ' + JSON_ITEMS + "}", "scored", 80, id="json-one-level-down"),
    pytest.param('{"assessment": {"clarity": 16}}', "unparseable", None, id="json-one-level-down-in-part"),
    pytest.param(json.dumps(JSON_ITEMS), "scored", 80, id="json-encoded-twice"),
    pytest.param(FOUR_ITEMS + "Accuracy: 15-16", "unparseable", None, id="range"),
    pytest.param(FOUR_ITEMS + "Accuracy: 15 – 16", "unparseable", None, id="range-en-dash"),
    pytest.param(FOUR_ITEMS + "Accuracy: 15 or 16", "unparseable", None, id="either-or"),
    pytest.param(FOUR_ITEMS + "Accuracy: 15 to 16", "unparseable", None, id="from-to"),
    pytest.param(FOUR_ITEMS + "Accuracy: 15/20 - 3 facts", "scored", 65, id="number-starts-the-remark"),
    pytest.param(FOUR_ITEMS + "Accuracy: 1\n" + JSON_ITEMS, "scored", 80, id="text-then-json"),
]


@pytest.mark.parametrize(("reply", "status", "score"), BYSTANDER)
def test_a_bystander_s_reply_is_read(reply: str, status: str, score: int | None, bystander: Dimension) -> None:
    """All five items or nothing: a sum over four would be a verdict nobody gave."""
    verdict = read_verdict(reply, bystander)

    assert (verdict.status, verdict.score) == (status, score)


CUT = [
    pytest.param("Score: 4", "truncated", None, id="in-the-number"),
    pytest.param("**Score: 4", "truncated", None, id="in-the-bold"),
    pytest.param("Score:", "truncated", None, id="before-the-number"),
    pytest.param("4", "truncated", None, id="bare"),
    pytest.param("Score: 4\nReason: it stays with", "scored", 4, id="after-the-verdict"),
    pytest.param("Score: 3\nNo.\nScore: 4", "truncated", None, id="in-the-second-verdict"),
    pytest.param("<score>4", "truncated", None, id="in-the-tag"),
    pytest.param("<score>4</score>", "scored", 4, id="behind-the-tag"),
    pytest.param('{"score": 4}', "scored", 4, id="behind-the-object"),
    pytest.param('{"rationale": "a", "score": 4', "truncated", None, id="in-the-object"),
    pytest.param('{\n"rationale": "a",\n"score": 4', "truncated", None, id="in-the-object-s-number"),
    pytest.param("<think>a</think>", "truncated", None, id="behind-thinking"),
    pytest.param('At first {"score": 3}, but then', "truncated", None, id="behind-a-drafted-object"),
    pytest.param("{'score': 3} it may be, but", "truncated", None, id="behind-a-drafted-object-in-single-quotes"),
    pytest.param("So:\nScore: 3\nwhich I look at again", "truncated", None, id="behind-a-drafted-line"),
    pytest.param("<score>3</score>? No,", "truncated", None, id="behind-a-drafted-tag"),
    pytest.param('```json\n{"score": 4}\n```', "scored", 4, id="behind-a-fence"),
    pytest.param('[{"score": 4}]', "scored", 4, id="behind-an-array"),
    pytest.param('{"score": 4}\n**Reason:** it stays', "scored", 4, id="in-a-reason-behind-the-object"),
    pytest.param("", "truncated", None, id="at-once"),
]


@pytest.mark.parametrize("finish_reason", ["length", "max_tokens"])
@pytest.mark.parametrize(("reply", "status", "score"), CUT)
def test_a_cut_reply_counts_only_if_its_verdict_was_finished(
    reply: str, status: str, score: int | None, finish_reason: str, scale: Dimension
) -> None:
    """A reply that ends in `Score: 4` may have been about to say 4.5 or 40."""
    verdict = read_verdict(reply, scale, finish_reason)

    assert (verdict.status, verdict.score) == (status, score)


@pytest.mark.parametrize(
    ("reply", "status", "score"),
    [
        pytest.param(FOUR_ITEMS + "Accuracy: 1", "truncated", None, id="in-the-last-item"),
        pytest.param(FOUR_ITEMS[:-8], "truncated", None, id="some-items-missing"),
        pytest.param(JSON_ITEMS[:-1].replace(", ", ",\n"), "truncated", None, id="in-the-object"),
        pytest.param(JSON_ITEMS[:40], "truncated", None, id="in-the-object-on-one-line"),
        pytest.param(FOUR_ITEMS + "Accuracy: 15\nTotal", "scored", 65, id="after-the-items"),
        pytest.param(FOUR_ITEMS + "Accuracy: 15\nbut on", "truncated", None, id="after-drafted-items"),
        pytest.param(JSON_ITEMS + ", though", "truncated", None, id="after-a-drafted-object"),
        pytest.param(JSON_ITEMS, "scored", 80, id="behind-the-object"),
    ],
)
def test_a_cut_bystander_s_reply_counts_only_if_all_items_were_finished(
    reply: str, status: str, score: int | None, bystander: Dimension
) -> None:
    """Cut items are `truncated`, which is asked again with more room, not `unparseable`."""
    verdict = read_verdict(reply, bystander, "length")

    assert (verdict.status, verdict.score) == (status, score)


@pytest.mark.parametrize("finish_reason", ["content_filter", "refusal"])
def test_a_reply_the_provider_withheld_is_refused_whatever_it_says(finish_reason: str, scale: Dimension) -> None:
    """Half a verdict before a filter struck is no verdict."""
    verdict = read_verdict("Score: 4", scale, finish_reason)

    assert (verdict.status, verdict.score) == ("refused", None)
    assert finish_reason in verdict.note


@pytest.mark.parametrize(
    ("claim", "note"),
    [
        pytest.param("\nTotal: 65", "", id="true"),
        pytest.param("\n**Total score:** 66/100", "a total of 66 is claimed, the items sum to 65", id="text"),
        pytest.param('\n{"total": 99}', "a total of 99 is claimed, the items sum to 65", id="json"),
        pytest.param("\nTotal: 65\nTotal: 66", "a total of 66 is claimed, the items sum to 65", id="twice"),
    ],
)
def test_a_total_that_lies_is_noted_and_not_believed(claim: str, note: str, bystander: Dimension) -> None:
    """Judges cannot add."""
    verdict = read_verdict(FOUR_ITEMS + "Accuracy: 15" + claim, bystander)  # 11 + 12 + 13 + 14 + 15 = 65

    assert (verdict.score, verdict.note) == (65, note)


def test_the_items_are_kept_beside_their_sum(bystander: Dimension) -> None:
    """Who wants to know why the sum is low looks at the items."""
    verdict = read_verdict(FOUR_ITEMS + "Accuracy: 15", bystander)

    assert verdict.items == dict(zip(ITEMS, range(11, 16), strict=True))
    assert verdict.position is None


def test_a_missing_item_is_named(bystander: Dimension) -> None:
    """The note is what one reads to mend a prompt."""
    verdict = read_verdict("Effectiveness: 11\nClarity: 12\nEfficiency: 13", bystander)

    assert verdict.note == "objectivity, accuracy missing"


@pytest.mark.parametrize(
    ("reply", "before"),
    [
        pytest.param("Reason: 4 things\nScore: **4**", "Score: **", id="text"),
        pytest.param("<think>4 é 4</think>Score: 4", "Score: ", id="behind-thinking"),
        pytest.param('Here: {"rationale": "4", "score": 4}', '"score": ', id="json"),
        pytest.param('{"score": "4"}', '"score": "', id="json-string"),
        pytest.param('{"score": 1, "score" : 4}', '"score" : ', id="json-key-twice"),
        pytest.param("{'rationale': '\"score\": 4', 'score': 4}", "'score': ", id="json-single-quotes"),
        pytest.param('{"verdict": {"reason": "4", "score": 4}}', '"score": ', id="json-one-level-down"),
        pytest.param("<score> 4</score>", "<score> ", id="xml"),
        pytest.param("\n 4", "\n ", id="bare"),
        pytest.param(
            '{"score": 4, "detail": {"score": 2}}',
            '{"score": ',
            id="json-another-score-inside",
        ),
    ],
)
def test_the_position_is_where_the_number_stands(reply: str, before: str, scale: Dimension) -> None:
    """Log-probabilities are looked up there, and one token further on they mean something else."""
    verdict = read_verdict(reply, scale)

    assert verdict.position == reply.index(before) + len(before)
    assert verdict.score == 4


@pytest.mark.parametrize(
    ("reply", "rationale"),
    [
        pytest.param("**Reason:** near, warm.\n\n**Score: 4**", "near, warm.", id="text"),
        pytest.param("Score: 4\nReason: near\nand warm", "near\nand warm", id="verdict-first"),
        pytest.param("理由：近。\nScore: 4", "近。", id="chinese"),
        pytest.param('{"rationale": "near", "score": 4}', "near", id="json"),
        pytest.param('{"Reasoning": "near", "score": 4}', "near", id="json-another-name"),
        pytest.param('{"rationale": 1, "score": 4}', "", id="json-no-text"),
        pytest.param("{'reason': 'isn\\'t \"near\"', 'score': 4}", 'isn\'t "near"', id="json-single-quotes"),
        pytest.param('{"verdict": {"rationale": "near", "score": 4}}', "near", id="json-one-level-down"),
        pytest.param("<think>Reason: secret</think>Score: 4", "", id="thinking"),
        pytest.param("Reason: near, but no verdict", "near, but no verdict", id="without-a-verdict"),
    ],
)
def test_the_rationale_is_kept(reply: str, rationale: str, scale: Dimension) -> None:
    """People believe a score more readily when they see why."""
    verdict = read_verdict(reply, scale)

    assert verdict.rationale == rationale


PIECES = [
    *("<think>", "</think>", "<thinking>", "</reasoning >", "[THINK]", "[/THINK]", "<|channel|>analysis<|message|>"),
    *(
        "<|channel|>final<|message|>",
        "<|end|>",
        "{'score': 4}",
        "'rationale': '",
        "'score':",
        "评分：",
        "<score>",
        "</score>",
        r"\boxed{",
        "{",
        "}",
        "[",
        "]",
    ),
    *('{"score":', '{"score": 4}', '"score": 3,', '"rationale": "', '"clarity": {"score": ', JSON_ITEMS, FOUR_ITEMS),
    *("Score:", "\nScore: ", "Final score", "\nAccuracy: ", "\n1. Clarity", "Total:", "\nReason:", "理由：", "：", "|"),
    *("4", "5", "20", "/5", "/20", " out of ", "4.5", "3,5", "-", "−", "–", "+", "９", "٤", "²", "1e999", "NaN"),
    *("\n", "\r\n", " ", "\t", "\u00a0", "\u2028", "\x00", "\ud800", "\U0001f600", "**", "* ", "_", "`", "~", "> "),
    *("I'm sorry", "null", "true", "-Infinity", '"', "'", "\\", "\\n", ",", ":", "9" * 20),
]
REPLIES = st.text(st.characters(exclude_categories=()), max_size=60) | st.lists(
    st.sampled_from(PIECES) | st.text(max_size=3), max_size=25
).map("".join)
FINISH_REASONS = st.sampled_from(["stop", "length", "max_tokens", "content_filter", "refusal"]) | st.text(max_size=5)


@settings(deadline=None, max_examples=200)
@given(reply=REPLIES, finish_reason=FINISH_REASONS, name=st.sampled_from(DIMENSIONS))
def test_whatever_is_read_nothing_is_raised_and_no_score_is_off_the_scale(
    reply: str, finish_reason: str, name: str, pack: Pack
) -> None:
    """A reply that raises would end a run; a score off the scale would break the fusion."""
    dimension = pack.dimensions[name]

    verdict = read_verdict(reply, dimension, finish_reason)

    assert (verdict.score is not None) == (verdict.status == "scored")
    assert verdict.score is None or verdict.score in possible_scores(dimension)
    assert verdict.position is None or 0 <= verdict.position < len(reply)


def possible_scores(dimension: Dimension) -> range:
    """Return the scores that a dimension can have."""
    return range(101) if dimension.items else range(1, 6)


@settings(deadline=None)
@given(thought=st.text(max_size=40).filter(lambda text: "<" not in text), level=st.integers(1, 5))
def test_no_thought_changes_a_verdict(thought: str, level: int, pack: Pack) -> None:
    """What a judge considered and dropped is no part of what it says."""
    verdict = read_verdict(f"<think>{thought}</think>\nScore: {level}", pack.dimensions["reception"])

    assert (verdict.status, verdict.score) == ("scored", level)


@settings(deadline=None)
@given(rationale=REPLIES, level=st.integers(1, 5))
def test_no_rationale_changes_a_json_verdict(rationale: str, level: int, pack: Pack) -> None:
    """The rationale may quote the reply under judgement, and that may say anything."""
    reply = json.dumps({"rationale": rationale, "score": level})

    verdict = read_verdict(reply, pack.dimensions["reception"])

    assert verdict == Verdict(status="scored", score=level, rationale=rationale, position=len(reply) - 2)
