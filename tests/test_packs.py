"""
Packs of other dimensions, made up for these tests, go through everything without a line of code that knows them.

`packs/two` has levels from 0 and from below 0 and no terms; `packs/seven` has levels, items and terms.
"""

import asyncio
import csv
import json
import math
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from perm_cli.cli.watch import run as watch
from perm_cli.integrations import openrlhf, trl, verl
from perm_cli.reward import Item, Perm, reward_settings
from tests.commands import Perm as Command
from tests.commands import judges, runner, tickets
from tests.loopback import Answer, Loopback, loopback, verdict
from tests.serving import serving

PACKS = Path(__file__).parent / "packs"
OURS = re.compile(r"resonation|expression|reception|bystander")


@pytest.fixture
def perm(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs the command line."""
    return runner(monkeypatch, capsys)


@pytest.fixture(params=["two", "seven"])
def pack(request: pytest.FixtureRequest) -> Path:
    """Return the folder of a pack."""
    return PACKS / str(request.param)


def read(pack: Path, name: str = "pack") -> dict[str, Any]:
    """Return a file of a pack, read by nothing of ours."""
    found: dict[str, Any] = yaml.safe_load((pack / f"{name}.yaml").read_text("utf-8"))
    return found


def records(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def by_hand(pack: Path, scores: Mapping[str, float], by: str | None = None) -> float:
    """Work out a reward from the files of a pack."""

    def share(name: str) -> float:
        rubric = read(pack, name)
        ends = rubric.get("levels") or [rubric.get("lowest", 0), rubric.get("highest", 20)]
        count = len(rubric.get("items", [0]))
        low, high = count * min(ends), count * max(ends)
        return scores[name] / high if rubric.get("share", "top") == "top" else (scores[name] - low) / (high - low)

    rule = read(pack)["reward"]
    shares = [share(name) for name in rule["empathy"]["of"]]
    how = by or rule["empathy"]["by"]
    empathy = sum(shares) / len(shares) if how == "mean" else math.prod(shares) ** (1 / len(shares))
    return empathy + sum(term["coefficient"] * (share(term["of"]) - 1) for term in rule.get("terms", ()))


def scored(perm: Command, server: Loopback, pack: Path, out: str = "run", *options: str) -> Sequence[dict[str, Any]]:
    """Score eight dialogues of two systems, and return the rewards."""
    files = tickets(Path("tickets.jsonl"))
    result = perm("score", files, *judges(server, "m"), "--rubrics", pack, "--out", out, *options)
    assert result.code == 0, result.err
    assert not OURS.search(result.out)
    return records(Path(out, "rewards.jsonl"))


@pytest.mark.parametrize("structured", ["schema", "text"])
def test_rewards_are_what_the_pack_says(perm: Command, pack: Path, structured: str) -> None:
    """Each dimension has a column, and the formula is the pack's."""
    with loopback(verdict if structured == "schema" else in_lines) as server:
        rewards = scored(perm, server, pack, "run", "--structured", structured)

    names = read(pack)["dimensions"]
    assert len(rewards) == 16
    assert len({each[name] for each in rewards for name in names}) > 2
    for each in rewards:
        assert each["reward"] == pytest.approx(by_hand(pack, each), abs=1e-12)
        assert [name for name in each if name in names] == names
        assert {name for name in each if name.endswith("_term")} == {
            "length_term", *(f"{term['of']}_term" for term in read(pack)["reward"].get("terms", ()))
        }  # fmt: skip


def in_lines(body: Mapping[str, Any]) -> Answer:
    """Answer in lines, as the prompt asks for it, with the highest number that each may have."""
    asked = re.findall(r"^(\w+): a whole number from (-?\d+) to (-?\d+)", body["messages"][0]["content"], re.MULTILINE)
    seed = len(json.dumps(body["messages"])) + sum(map(ord, body["messages"][-1]["content"]))
    said = [f"{name}: {int(low) + seed % (int(high) - int(low) + 1)}" for name, low, high in asked]
    return Answer(text="\n".join(["Reason: so it is.", *said]))


def test_a_missing_score_leaves_the_bounds_of_its_scale(perm: Command) -> None:
    """From -2 to 2 in this case: the mean of two shares, of which one may be anything."""

    def silent(body: Mapping[str, Any]) -> Answer:
        return Answer(text="no idea") if "Honesty: " in json.dumps(body["messages"]) else verdict(body)

    with loopback(silent) as server:
        files = tickets(Path("t.jsonl"))
        perm("score", files, *judges(server, "m"), "--rubrics", PACKS / "two", "--out", "run", "--min-coverage", "0")

    for each in records(Path("run/rewards.jsonl")):
        assert (each["reward"], each["honesty"], each["missing"]) == (None, None, {"honesty": "unparseable"})
        assert each["reward_low"] == pytest.approx(each["warmth"] / 6)
        assert each["reward_high"] == pytest.approx(each["warmth"] / 6 + 0.5)


def test_a_finished_run_is_fused_another_way(perm: Command, pack: Path) -> None:
    """Without a call, from the pack that the run has kept, and with options that go by its names."""
    rule = read(pack)["reward"]
    with loopback() as server:
        scored(perm, server, pack)
        asked = len(server.requests)
        fused = perm("reward", "run", "--fusion", "geometric")
        rewards = records(Path("run/rewards.jsonl"))
        weights = ",".join(f"{name}=1" for name in rule["empathy"]["of"])
        same = perm("reward", "run", "--fusion", "weighted-mean", "--weights", weights, "--json")
        off = perm("reward", "run", *[part for term in rule.get("terms", ()) for part in (f"--{term['of']}-coef", "0")])
        wrong = perm("reward", "run", "--coef", "warmth=0.5")

        assert (fused.code, same.code, off.code, len(server.requests)) == (0, 0, 0, asked)
    for each in rewards:
        assert each["reward"] == pytest.approx(by_hand(pack, each, "geometric"), abs=1e-12)
    recipe = json.loads(same.out)["recipe"]
    assert recipe["weights"] == dict.fromkeys(rule["empathy"]["of"], 1)
    assert {name for name in recipe if name.endswith("_coef")} == {f"{t['of']}_coef" for t in rule.get("terms", ())}
    for each in records(Path("run/rewards.jsonl")):
        assert each["reward"] == pytest.approx(each["empathy"])
    assert wrong.code == 1
    assert "'warmth' found, expected " in wrong.err
    assert "for the reward of" in wrong.err


def test_rewards_follow_the_pack_where_ratings_stay(perm: Command, tmp_path: Path) -> None:
    """How a reward is made is in no prompt: an edited pack costs no call, and makes other rewards."""
    pack = Path(shutil.copytree(PACKS / "two", tmp_path / "mine"))
    with loopback() as server:
        before = scored(perm, server, pack)
        asked = len(server.requests)
        text = (pack / "pack.yaml").read_text("utf-8")
        (pack / "pack.yaml").write_text(text.replace("by: mean", "by: geometric"), "utf-8")
        after = scored(perm, server, pack)

        assert len(server.requests) == asked
    assert [each["reward"] for each in after] == pytest.approx([by_hand(pack, each) for each in after])
    assert [each["warmth"] for each in after] == [each["warmth"] for each in before]
    assert after != before


def test_systems_are_ranked_and_judges_compared(perm: Command, pack: Path) -> None:
    """In tables, JSON, LaTeX and JUnit; with a panel that is fused by the pack's own formula."""
    names = read(pack)["dimensions"]
    files = tickets(Path("t.jsonl"))
    with loopback() as server:
        asking = [*judges(server, "one", "two"), "--rubrics", pack]
        compared = perm("compare", files, *asking, "--out", "runs", "--panel", "mean", "--tex", "c.tex")
        as_json = json.loads(perm("compare", "runs/openai-one", "runs/openai-two", "--json").out)
        grading = ["grade", "runs/openai-one", "--tex", "g.tex", "--junit", "g.xml", "--fail-under", "-9"]
        graded = perm(*grading, "--measures", f"{names[0]},reward")
        panel = json.loads(perm("grade", "runs/openai-one", "runs/openai-two", "--panel", "mean", "--json").out)

    assert (compared.code, graded.code) == (0, 0), compared.err + graded.err
    assert [each["name"] for each in as_json["dimensions"]] == [*names, "reward"]
    assert panel["boards"][0]["dimensions"] == [*names, "reward"]
    assert all(name in compared.out for name in names)
    # In a narrow terminal some columns are left out, and named.
    assert all(name in graded.out for name in names)
    assert names[0].replace("_", r"\_") in Path("g.tex").read_text("utf-8")
    for text in (compared.out, graded.out, Path("c.tex").read_text("utf-8"), Path("g.tex").read_text("utf-8")):
        assert not OURS.search(text)


def test_judges_are_held_against_people_and_calibrated(perm: Command, pack: Path) -> None:
    """By the names of the dimensions, and by the labels that a rubric expects."""
    name = read(pack)["dimensions"][0]
    dialogues = [json.loads(line) for line in tickets(Path("t.jsonl"), 60).read_text("utf-8").splitlines()]
    for place, dialogue in enumerate(dialogues):
        dialogue["labels"] = {"people": {"kindness": 1 + place % 3}}
    Path("t.jsonl").write_text("".join(json.dumps(each) + "\n" for each in dialogues), "utf-8")
    with loopback() as server:
        perm("score", "t.jsonl", *judges(server, "m"), "--rubrics", pack, "--out", "run")
    validated = perm("validate", "run", "--json")
    learned = perm("calibrate", "run", "--map", f"{name}=kindness", "--to", "calibration.json")
    levelled = perm("reward", "run", "--calibration", "calibration.json", "--json")

    assert validated.code == 0, validated.err
    (found,) = json.loads(validated.out)["dimensions"]
    assert (found["judged"], found["human"]) == (name, "kindness")
    assert (learned.code, levelled.code) == (0, 0), learned.err + levelled.err
    assert [each["dimension"] for each in json.loads(Path("calibration.json").read_text("utf-8"))["curves"]] == [name]
    others = ", ".join(each for each in read(pack)["dimensions"] if each != name)
    assert json.loads(levelled.out)["caveats"] == [f"not calibrated on {others}"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "md", "tex", "xml"])
def test_results_are_exported_with_a_column_per_dimension(perm: Command, pack: Path, ending: str) -> None:
    """In the order of the pack, the reward last."""
    names = [*read(pack)["dimensions"], "reward"]
    with loopback() as server:
        scored(perm, server, pack)
    result = perm("convert", "run", "--out", f"made.{ending}")

    assert result.code == 0, result.err
    content = Path(f"made.{ending}").read_bytes()
    assert not OURS.search(content.decode(errors="replace"))
    if ending == "csv":
        assert next(csv.reader(content.decode().splitlines()))[4:] == names
    elif ending == "jsonl":
        assert list(records(Path("made.jsonl"))[0])[4:] == names


def test_the_report_explains_the_dimensions_and_the_formula(perm: Command, pack: Path) -> None:
    """Its words are those of the rubrics."""
    with loopback() as server:
        scored(perm, server, pack)
    result = perm("report", "run", "--out", "report.html")
    page = Path("report.html").read_text("utf-8")
    own = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)

    assert result.code == 0, result.err
    for name in read(pack)["dimensions"]:
        assert f"<dt>{name}</dt>" in own
        assert read(pack, name)["question"] in own
    assert not OURS.search(own)


def test_pairs_are_made_of_rewards(perm: Command, pack: Path) -> None:
    """Preferences know rewards, whatever they are made of."""
    with loopback() as server:
        scored(perm, server, pack)
    made = [perm("pairs", "run", "--out", "pairs.jsonl"), perm("best-of-n", "run", "--out", "best.jsonl")]

    assert [each.code for each in made] == [0, 0]
    assert len(records(Path("pairs.jsonl"))) > 2


def test_what_is_sent_and_asked_can_be_looked_at(perm: Command, pack: Path) -> None:
    """Prompts, rubrics and plans of any pack."""
    names = read(pack)["dimensions"]
    files = tickets(Path("t.jsonl"), 1)
    prompts = perm("prompts", files, "--rubrics", pack, "--dimension", names[-1])
    listed, shown = perm("rubrics", "list", "--rubrics", pack), perm("rubrics", "show", names[-1], "--rubrics", pack)
    plan = perm("plan", files, "--judge", "openai/gpt-5.4-mini", "--rubrics", pack)
    unknown = perm("rubrics", "show", "nobody", "--rubrics", pack)

    assert [each.code for each in (prompts, listed, shown, plan)] == [0, 0, 0, 0]
    assert read(pack, names[-1])["question"] in prompts.out
    assert all(name in listed.out for name in names)
    assert shown.out.strip() == (pack / f"{names[-1]}.yaml").read_text("utf-8").strip()
    assert unknown.err == f"perm: DIMENSION: 'nobody' found, expected one of {', '.join(names)}\n"


def test_a_policy_is_trained_on_it(
    pack: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a whole and in parts, in every trainer; and `perm watch` shows its dimensions."""
    rule = read(pack)["reward"]
    item = Item(query="I lost my dog.", reply="That hurts.")
    columns: dict[str, Any] = {"log_metric": (metrics := {}).__setitem__}
    with loopback() as server:
        monkeypatch.setenv("PERM_RUBRICS", str(pack))
        monkeypatch.setenv("PERM_JUDGE", "openai/m")
        monkeypatch.setenv("PERM_BASE_URL", server.url)
        mine = Perm(reward_settings(run="training"))
        (result,) = mine.score_now([item], step=1)
        parts = {each.__name__: each for each in trl.make_parts()}
        (whole,) = asyncio.run(trl.perm_reward([item.query], [item.reply], perm=mine, **columns))
        (part,) = asyncio.run(parts[f"perm_{rule['empathy']['of'][0]}"]([item.query], [item.reply]))
        wishes = {"rubrics": str(pack), "base_url": server.url}
        found = asyncio.run(verl.compute_score("x", item.reply, None, {"query": item.query}, **wishes))
        posted = openrlhf.answer_of([result], mine.formula.ends)
        mine.close()
    watch(Path("training"), follow=False)

    names = read(pack)["dimensions"]
    assert result.reward == whole == found["score"] == pytest.approx(by_hand(pack, result.scores), abs=1e-12)
    assert list(result.scores) == names
    assert list(parts) == [
        *(f"perm_{name}" for name in rule["empathy"]["of"]),
        *(f"perm_{term['of']}_penalty" for term in rule.get("terms", ())),
        "perm_length_penalty",
    ]
    assert part is not None
    assert 0 <= part <= 1
    assert {f"perm_{name}" for name in names} <= found.keys()
    assert {f"perm_{name}" for name in names} <= posted["extra_logs"].keys()
    assert {f"perm/{name}" for name in names} <= metrics.keys()
    shown = capsys.readouterr().out
    assert all(name in shown for name in names)


def test_it_is_served(pack: Path) -> None:
    """With every dimension under its own name."""
    with loopback() as server, serving(server.url, rubrics=str(pack)) as client:
        (given,) = client.post("/score", json={"items": [{"query": "I failed.", "reply": "That hurts."}]}).json()[
            "results"
        ]

    assert list(given["scores"]) == read(pack)["dimensions"]
    assert given["reward"] == pytest.approx(by_hand(pack, given["scores"]), abs=1e-12)


def test_levels_below_nought_are_weighed_by_their_chances(perm: Command) -> None:
    """A minus sign belongs to the level; what is no level is the missing mass."""

    def unsure(body: Mapping[str, Any]) -> Answer:
        level = "-1" if "Honesty: " in json.dumps(body["messages"]) else "1"
        tokens = ['{"rationale":"r","score":', level, "}"]
        chances = [{"token": level, "logprob": math.log(0.6)}, {"token": "2", "logprob": math.log(0.2)}]
        content = [
            {"token": token, "bytes": list(token.encode()), "logprob": 0.0, "top_logprobs": alternatives}
            for token, alternatives in zip(tokens, ([], chances, []), strict=True)
        ]
        return Answer(text="".join(tokens), logprobs={"content": content})

    with loopback(unsure) as server:
        rewards = scored(perm, server, PACKS / "two", "run", "--score", "expected")

    (rating, *_) = [each for each in records(Path("run/ratings.jsonl")) if each["dimension"] == "honesty"]
    assert rating["distribution"] == pytest.approx({"-1": 0.75, "2": 0.25, "missing": 0.2})
    assert [each["honesty"] for each in rewards] == pytest.approx([-0.25] * 16)


def test_runs_of_two_packs_stand_side_by_side_unless_a_name_means_two_things(perm: Command, tmp_path: Path) -> None:
    """Each dimension has its own table; a panel of several packs has no formula."""
    other = tmp_path / "other"
    other.mkdir()
    for path in (PACKS / "two").iterdir():
        text = path.read_text("utf-8")
        (other / path.name).write_text(text.replace("  3: some\n", "") if path.stem == "warmth" else text, "utf-8")
    with loopback() as server:
        for name, pack in (("a", PACKS / "two"), ("b", PACKS / "seven"), ("c", other)):
            scored(perm, server, pack, name, "--temperature", f"0.{ord(name) - 96}")
    both = perm("compare", "a", "b", "--json")
    panel = perm("compare", "a", "b", "--panel", "mean")
    clash = perm("compare", "a", "c")

    names = [*read(PACKS / "two")["dimensions"], *read(PACKS / "seven")["dimensions"], "reward"]
    assert [each["name"] for each in json.loads(both.out)["dimensions"]] == names
    assert "rewards are made by the formulas of several packs of rubrics (two, seven)" in both.err
    assert panel.err.endswith("runs with the rubrics two and seven found, expected one pack of rubrics\n")
    assert clash.err == "perm: c: warmth from 0 to 2 found beside 0 to 3; compare these runs apart\n"
