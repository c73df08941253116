"""Rubrics: whoever edits one is told file and line of every slip, before a call is paid for."""

import shutil
from dataclasses import fields
from pathlib import Path

import pytest

from perm_cli.errors import AssetError
from perm_cli.prompts.rubrics import RESERVED, Pack, load_rubrics
from perm_cli.prompts.shipped import shipped
from perm_cli.ratings.rating import Rating
from perm_cli.rewards.reward import Reward
from perm_cli.training.signs import Signs
from tests.makers import DIMENSIONS

LEVELS = "levels: {1: a, 2: b, 3: c, 4: d, 5: e}\n"


@pytest.fixture
def rubrics(tmp_path: Path) -> Path:
    """Return a copy of the shipped rubrics to be edited, relative to the current folder."""
    return Path(shutil.copytree(shipped("rubrics") / "perm", tmp_path / "rubrics")).relative_to(tmp_path)


def line_of(path: Path, start: str) -> int:
    """Return the number of the last line that begins with `start`."""
    lines = path.read_text(encoding="utf-8").split("\n")
    return max(number for number, line in enumerate(lines, 1) if line.startswith(start))


def test_the_shipped_pack_has_the_four_dimensions(pack: Pack) -> None:
    """The fusion needs all four, each from its own perspective."""
    assert set(pack.dimensions) == set(DIMENSIONS)
    assert {name: each.perspective for name, each in pack.dimensions.items()} == {
        "resonation": "supporter",
        "expression": "supporter",
        "reception": "seeker",
        "bystander": "bystander",
    }


def test_each_perspective_sees_what_it_could_know(pack: Pack) -> None:
    """The seeker cannot read the supporter's mind, and the bystander knows neither person."""
    assert {name: set(each.sees) for name, each in pack.dimensions.items()} == {
        "resonation": {"scenario", "persona", "analysis"},
        "expression": {"scenario", "persona"},
        "reception": {"scenario", "persona"},
        "bystander": set(),
    }


def test_three_dimensions_are_scales_and_the_bystander_a_sum(pack: Pack) -> None:
    """Levels 1 to 5, and five items of 0 to 20 that add up to 100, are what the fusion is scaled by."""
    scales = {name: (each.low, each.high, len(each.levels)) for name, each in pack.dimensions.items() if each.levels}
    sums = {name: (each.low, each.high, len(each.items)) for name, each in pack.dimensions.items() if each.items}

    assert scales == dict.fromkeys(("resonation", "expression", "reception"), (1, 5, 5))
    assert sums == {"bystander": (0, 20, 5)}


def test_every_shipped_rubric_says_where_it_comes_from(pack: Pack) -> None:
    """A wording without a source cannot be argued with."""
    assert pack.sources
    assert all(each.sources for each in pack.dimensions.values())


def test_levels_are_in_order_however_they_are_written(rubrics: Path) -> None:
    """Low and high are read off the ends."""
    path = rubrics / "reception.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index("levels:")] + "levels: {5: e, 1: a, 3: c, 2: b, 4: d}\nsources: [x]\n", "utf-8")

    dimension = load_rubrics(rubrics).dimensions["reception"]

    assert [(level.score, level.text) for level in dimension.levels] == list(zip(range(1, 6), "abcde", strict=True))


def test_the_digest_stands_for_the_text_of_all_rubrics(rubrics: Path, pack: Pack) -> None:
    """Ratings made under one wording are never mixed with those of another."""
    same = load_rubrics(rubrics).digest
    path = rubrics / "expression.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("Stock phrases", "Set phrases"), encoding="utf-8")

    changed = load_rubrics(rubrics).digest

    assert same == pack.digest != changed


@pytest.mark.parametrize(
    ("file", "old", "new", "at", "reason"),
    [
        pytest.param(
            "reception", "title: Reception", "title: [Reception", "question:", "expected YAML", id="YAML syntax"
        ),
        pytest.param(
            "reception", "title: R", "mood: 1\ntitle: R", "mood:", "mood: unknown field; remove it", id="unknown key"
        ),
        pytest.param(
            "reception",
            "title: Reception\n",
            "",
            "name:",
            "title: this field is missing",
            id="missing key",
        ),
        pytest.param("reception", "levels:\n", f"{LEVELS}levels:\n", "levels:", "'levels' twice found", id="key twice"),
        pytest.param("reception", "  5: >-", "  4: >-", "  4: >-", "'4' twice found", id="level twice"),
        pytest.param("reception", "  5: >-", "  6: >-", "levels:", "[1, 2, 3, 4, 6] found", id="levels 1 to 4 and 6"),
        pytest.param(
            "reception",
            "o, persona]",
            "o, mind]",
            "sees:",
            "sees[1]: 'mind' found, expected 'scenario'",
            id="no such sight",
        ),
        pytest.param(
            "reception", "[scenario, persona]", "[analysis]", "sees:", "the seeker cannot see the analysis", id="mind"
        ),
        pytest.param(
            "bystander", "sees: []", "sees: [analysis]", "sees:", "the bystander cannot see the analysis", id="mind 2"
        ),
        pytest.param(
            "reception",
            "sources:",
            "items:\n  clarity: {question: a, low: b, high: c}\nsources:",
            "levels:",
            "levels and items cannot be combined; keep one of them",
            id="items on a scale",
        ),
        pytest.param(
            "bystander",
            "items:",
            f"{LEVELS}items:",
            "levels:",
            "levels and items cannot be combined",
            id="levels on a sum",
        ),
        pytest.param("bystander", "  clarity:", "  Clar:", "  Clar:", "items.Clar", id="a capital in an item's name"),
        pytest.param(
            "bystander",
            "  clarity:",
            "  total:",
            "items:",
            "'total' is already a field of every verdict",
            id="a taken name",
        ),
        pytest.param(
            "bystander", "items:", "lowest: 7\nhighest: 7\nitems:", "highest:", "7 to 7 found", id="no room for a score"
        ),
        pytest.param("reception", "levels:", "lowest: 1\nlevels:", "levels:", "which belong to items", id="ends twice"),
        pytest.param("reception", "  1: >-", "  0: >-", "levels:", "[0, 2, 3, 4, 5] found", id="levels 0 and 2 to 5"),
        pytest.param(
            "bystander",
            "items:",
            "lowest: -5\nshare: top\nitems:",
            "share:",
            "expected share: range",
            id="no share of a top",
        ),
        pytest.param(
            "reception",
            "name: reception",
            "name: resonation",
            "name:",
            "'resonation' found, expected 'reception', the name of the file",
            id="another name than the file",
        ),
        pytest.param(
            "reception",
            "name: reception",
            "name: mood",
            "name:",
            "name: 'mood' found, expected 'reception', the name of the file",
            id="unknown name",
        ),
        pytest.param(
            "reception",
            "title: Reception",
            "title: ' '",
            "title:",
            "title: ' ' found, expected some text",
            id="blank title",
        ),
        pytest.param(
            "reception",
            "title: Reception",
            "title: 5",
            "title:",
            "title: 5 found, expected text",
            id="number for a title",
        ),
        pytest.param(
            "reception",
            "seeker.jinja",
            "../x.jinja",
            "template:",
            "template: '../x.jinja' found, expected text of the form",
            id="template elsewhere",
        ),
        pytest.param(
            "pack", "bystander]", "Mood]", "dimensions:", "dimensions[3]: 'Mood' found, expected", id="no name"
        ),
        pytest.param(
            "pack", "of: bystander", "of: mood", "reward:", "the reward uses 'mood', expected only", id="no such term"
        ),
        pytest.param("pack", "of: bystander", "of: reception", "reward:", "'reception' found twice", id="a term twice"),
        pytest.param("pack", "by: harmonic", "by: magic", "  empathy:", "'magic' found", id="no such fusion"),
    ],
)
def test_a_slip_is_named_with_file_and_line(rubrics: Path, file: str, old: str, new: str, at: str, reason: str) -> None:
    """Rubrics are edited by people who write prose, not YAML."""
    path = rubrics / f"{file}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    place = f"{path}:{line_of(path, at)}: "

    with pytest.raises(AssetError) as raised:
        load_rubrics(rubrics)

    assert str(raised.value).startswith(place)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("file", "start", "at", "reason"),
    [
        pytest.param("reception", "  2: >-", "levels:", "expected at least 2", id="one level"),
        pytest.param("reception", "levels:", "name:", "levels and items are both missing", id="no levels"),
        pytest.param("bystander", "items:", "name:", "levels and items are both missing", id="no items"),
    ],
)
def test_a_missing_part_is_named_with_file_and_line(rubrics: Path, file: str, start: str, at: str, reason: str) -> None:
    """Half a scale would be judged and fused as if it were whole."""
    path = rubrics / f"{file}.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.index(start)] + "sources: [x]\n", encoding="utf-8")
    place = f"{path}:{line_of(path, at)}: "

    with pytest.raises(AssetError) as raised:
        load_rubrics(rubrics)

    assert str(raised.value).startswith(place)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, ": the rubric cannot be read: No such file or directory", id="missing"),
        pytest.param(b"name: \xff", ": byte 6 is not UTF-8; save the file as UTF-8", id="not UTF-8"),
        pytest.param(b"", ":1: None found, expected an object", id="empty"),
        pytest.param(b"- name: reception", ":1: a list of 1 found, expected an object", id="a list"),
        pytest.param(b"name: a\n---\nname: b", ":2: but found another document", id="two documents"),
        pytest.param(b"name: a\ntitle: " + b"2" * 5000, ":2: '222", id="a number without end"),
        pytest.param(b"name: !!int abc", ":1: 'abc' for a number found, expected YAML", id="no whole number"),
        pytest.param(b"name: !!float abc", ":1: 'abc' for a number found, expected YAML", id="no number"),
        pytest.param(b"name: !!bool abc", ":1: 'abc' for true or false found, expected YAML", id="no truth value"),
        pytest.param(b"name: !!int [1]", ":1: expected a scalar node", id="a list for a number"),
        pytest.param(b"name: " + b"[" * 100_000, ": lists or mappings are nested too deeply", id="lists without end"),
        pytest.param(b"name: " + b"{a: " * 9_000, ": lists or mappings are nested too deeply", id="a deep mapping"),
        pytest.param(b"levels:\n  ? 0x" + b"f" * 5000 + b"\n  : a", ":1: levels.", id="a huge level"),
        pytest.param(b"name: 0x" + b"f" * 5000, ":1: name: a number of thousands of digits found", id="a huge number"),
        pytest.param(b"name: \x00", ":1: the character '\\x00' is not allowed in YAML", id="a control character"),
        pytest.param(
            b"name: reception\n[a]: 1\n",
            ":2: ",
            id="a list for a key",
        ),
    ],
)
def test_a_file_that_is_no_rubric_is_named(rubrics: Path, content: bytes | None, message: str) -> None:
    """A traceback would not tell the user which file to open."""
    path = rubrics / "reception.yaml"
    path.unlink() if content is None else path.write_bytes(content)

    with pytest.raises(AssetError) as raised:
        load_rubrics(rubrics)

    assert str(raised.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("dimensions", "said"),
    [
        pytest.param(
            "[resonation, expression, reception]", "the reward uses 'bystander', expected only", id="one missing"
        ),
        pytest.param("[reception, expression, reception]", "'reception' found twice, expected each", id="one twice"),
        pytest.param("[]", "a list of 0 found, expected at least 1", id="none"),
        pytest.param(
            "[reception, mood]", "mood.yaml: the rubric cannot be read: No such file", id="one without a file"
        ),
    ],
)
def test_a_pack_needs_each_dimension_once(rubrics: Path, dimensions: str, said: str) -> None:
    """And all that its reward is made of."""
    path = rubrics / "pack.yaml"
    path.write_text(f"name: p\ntitle: t\nnote: n\nsources: [s]\ndimensions: {dimensions}\n", encoding="utf-8")

    with pytest.raises(AssetError) as raised:
        load_rubrics(rubrics)

    assert said in str(raised.value)


@pytest.mark.parametrize("name", ["reward", "empathy", "missing", "warmth_term", "rho_warmth", "vetoed"])
def test_a_dimension_is_not_called_like_a_column(rubrics: Path, name: str) -> None:
    """Tables have a column per dimension beside those that they have anyhow."""
    (rubrics / f"{name}.yaml").write_text(
        (rubrics / "reception.yaml").read_text("utf-8").replace("name: reception", f"name: {name}"), "utf-8"
    )
    path = rubrics / "pack.yaml"
    path.write_text(path.read_text("utf-8").replace("bystander]", f"bystander, {name}]"), "utf-8")

    with pytest.raises(AssetError, match=f"dimensions: {name!r} is the name of a column of every table"):
        load_rubrics(rubrics)


def test_all_columns_are_reserved() -> None:
    """A new column must not be the name of somebody's dimension."""
    columns = {each.name for kind in (Reward, Signs, Rating) for each in fields(kind)}
    about = {"terms", "items", "sample", "raw", "note", "attempts", "error", "reused", "model_served", "distribution"}

    free = {name for name in columns - about if not name.endswith("_term") and not name.startswith(("rho_", "tokens_"))}
    assert free - {"cached_tokens", "cost_usd"} <= RESERVED


def test_the_order_of_the_pack_is_the_order_of_the_questions(rubrics: Path) -> None:
    """Whoever edits the pack decides in which order ratings are asked and shown."""
    path = rubrics / "pack.yaml"
    order = "[bystander, reception, expression, resonation]"
    path.write_text(f"name: p\ntitle: t\nnote: n\nsources: [s]\ndimensions: {order}\n", encoding="utf-8")

    pack = load_rubrics(rubrics)

    assert list(pack.dimensions) == ["bystander", "reception", "expression", "resonation"]
