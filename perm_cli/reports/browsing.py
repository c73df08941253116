"""The dialogues of a report: every turn with its ratings and rationales, and the quotes in them marked."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from perm_cli.comparing.from_runs import REWARD, RunScores
from perm_cli.comparing.side_by_side import ranges_of
from perm_cli.dialogues.dialogue import Dialogue
from perm_cli.prompts.rubrics import Pack, default_pack
from perm_cli.ratings.rating import is_settled
from perm_cli.ratings.run_folder import RunFolder
from perm_cli.reports.quotes import quotes_in
from perm_cli.statistics.means import mean_of

MOST_TURNS = 10_000
_LEAST_WORDS = 3  # a word or two between quotation marks may be set off and no quote
_LONGEST = 2000

_Place = tuple[str, str]  # dialogue and system
_Row = Mapping[str, Any]
_Said = tuple[int, str, int, int]  # turn, text or analysis, start and end


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The dialogues as the page's script reads them, and the number that there was no room for."""

    dialogues: Sequence[Mapping[str, Any]] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class _Seen:
    """A rating as it is shown, and where its quotes were said."""

    shown: dict[str, Any]
    said: Sequence[_Said]


class _Rewarded(NamedTuple):
    """What judges' ratings of one reply come to, by rater."""

    turn: int
    by: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Return the mean over the raters."""
        return sum(self.by.values()) / len(self.by)


def browsable(runs: RunScores, most_turns: int = MOST_TURNS, unnamed: str = "") -> Shelf:
    """Return the dialogues, as many as have at most so many supporter turns together; a system may be `unnamed`."""
    kept, left_out = _kept(runs, most_turns)
    ratings = _ratings(runs, kept.keys())
    rewards, spreads = _by_dialogue(runs)
    shown = [
        _shown(dialogue, ratings.pop(place, []), rewards.get(place, []), spreads.get(place, 0.0))
        | {"system": dialogue.system or unnamed}
        for place, dialogue in kept.items()
    ]
    return Shelf(dialogues=shown, left_out=left_out)


def _kept(runs: RunScores, most_turns: int) -> tuple[dict[_Place, Dialogue], int]:
    kept: dict[_Place, Dialogue] = {}
    left_out: set[_Place] = set()
    turns = 0
    for run in runs.runs:
        for dialogue in RunFolder(run).dialogues():
            place = (dialogue.id, dialogue.system)
            if place not in kept:
                turns += sum(turn.role == "supporter" for turn in dialogue.turns)
                if turns > most_turns and kept:
                    left_out.add(place)
                    continue
            kept[place] = dialogue  # of one that was edited, the last version is what was rated last
    return kept, len(left_out)


def _ratings(runs: RunScores, places: Collection[_Place]) -> dict[_Place, list[_Row]]:
    """
    Return the ratings of some dialogues, of each the latest, and one that is settled before others.

    Each knows its `rater`, the `rank` of its dimension among the rubrics, and the `ends` of the dimension's scale.
    """
    found: dict[_Place, dict[tuple[Any, ...], _Row]] = defaultdict(dict)
    for run in runs.runs:
        folder = RunFolder(run)
        packs = folder.packs()
        for row in folder.rows():
            place, rater = (row["dialogue_id"], row["system"]), runs.rater_of(row["judge"], row["settings"])
            if place not in places or rater is None:
                continue
            own = found[place]
            key = (row["turn"], rater, row["sample"], row["dimension"])
            if key not in own or _is_settled(row) or not _is_settled(own[key]):
                own[key] = row | {"rater": rater, "raw": ""} | _scale(row["dimension"], packs.get(row["settings"]))
    return {place: list(own.values()) for place, own in found.items()}


def _scale(dimension: str, pack: Pack | None) -> dict[str, Any]:
    dimensions = (pack or default_pack()).dimensions
    known = dimensions.get(dimension)
    rank = list(dimensions).index(dimension) if known else len(dimensions)
    return {"rank": rank, "ends": known.bounds if known else None}


def _is_settled(row: _Row) -> bool:
    return is_settled(row["status"], row["error"])


def _by_dialogue(runs: RunScores) -> tuple[dict[_Place, list[_Rewarded]], dict[_Place, float]]:
    """Return the rewards of each dialogue's replies, and the widest range of scores that judges gave in it."""
    scores = runs.scores
    rewards: dict[_Place, list[_Rewarded]] = defaultdict(list)
    spreads: dict[_Place, float] = defaultdict(float)
    ranges = [ranges_of(scores, name) for name in scores.tables if name != REWARD]
    widest = np.nan_to_num(np.fmax.reduce(ranges)) if ranges else np.zeros(len(scores.items))
    for item, own, spread in zip(scores.items, scores.tables[REWARD].tolist(), widest.tolist(), strict=True):
        place = (item.dialogue_id, item.system)
        given = {rater: reward for rater, reward in zip(scores.raters, own, strict=True) if not np.isnan(reward)}
        rewards[place] += [_Rewarded(item.turn, given)] if given else []
        spreads[place] = max(spreads[place], spread)
    return rewards, spreads


def _shown(dialogue: Dialogue, rows: Sequence[_Row], rewards: Sequence[_Rewarded], spread: float) -> dict[str, Any]:
    in_order = sorted(rows, key=lambda row: (row["turn"], row["rater"], row["sample"], row["rank"]))
    seen = [_rating(dialogue, row) for row in in_order]
    said = sorted({place for each in seen for place in each.said})
    return {
        "id": dialogue.id,
        "system": dialogue.system,
        "scenario": dialogue.scenario,
        "persona": dialogue.persona,
        "turns": [
            {
                "role": turn.role,
                "text": turn.text,
                "analysis": turn.analysis,
                "marks": _marks(said, number, "text"),
                "analysis_marks": _marks(said, number, "analysis"),
            }
            for number, turn in enumerate(dialogue.turns)
        ],
        "ratings": [each.shown for each in seen],
        "reward": mean_of(reward for each in rewards for reward in each.by.values()),
        "replies": [[each.turn, each.mean, len(each.by)] for each in rewards],
        "rewards": [[each.turn, rater, reward] for each in rewards for rater, reward in each.by.items()],
        "spread": spread,
        "failures": sum(row["status"] != "scored" for row in rows),
        "invented": sum(mark[2] == "invented" for each in seen for mark in each.shown["quotes"]),
    }


def _marks(said: Sequence[_Said], number: int, part: str) -> list[list[Any]]:
    return [[start, end, "said"] for turn, of, start, end in said if (turn, of) == (number, part)]


def _rating(dialogue: Dialogue, row: _Row) -> _Seen:
    why = str(row["rationale"] or row["note"] or (row["error"] or {}).get("message") or "")
    parts = list(_heard(dialogue, row["turn"]))
    texts = [*(text for _, _, text in parts), dialogue.scenario, dialogue.persona]
    quotes = [
        quote
        for quote in quotes_in(row["rationale"][:_LONGEST], texts)
        if quote.source or len(row["rationale"][quote.start : quote.end].split()) >= _LEAST_WORDS
    ]
    sample = f", sample {row['sample'] + 1}" if row["sample"] else ""
    shown = {
        "turn": row["turn"],
        "judge": row["rater"] + sample,
        "dimension": row["dimension"],
        "score": row["score"],
        "ends": row["ends"],
        "items": list((row["items"] or {}).items()),
        "status": row["status"],
        "why": why if len(why) <= _LONGEST else why[:_LONGEST] + "…",
        "quotes": [[quote.start, quote.end, "said" if quote.source else "invented"] for quote in quotes],
    }
    places = [quote.source for quote in quotes if quote.source and quote.source[0] < len(parts)]
    return _Seen(shown, [(*parts[number][:2], start, end) for number, start, end in places])


def _heard(dialogue: Dialogue, rated: int) -> Iterator[tuple[int, str, str]]:
    """Yield what had been said when a turn was judged, the latest first: turn from 0, part, and text."""
    for number in range(min(rated, len(dialogue.turns)) - 1, -1, -1):
        turn = dialogue.turns[number]
        yield number, "text", turn.text
        if turn.analysis:
            yield number, "analysis", turn.analysis
