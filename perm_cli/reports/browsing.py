"""The dialogues of a report: every turn with its ratings and rationales, and the quotes in them marked."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from perm_cli.comparison import ranges_of
from perm_cli.dialogues import Dialogue
from perm_cli.quotes import quotes_in
from perm_cli.ratings import is_settled
from perm_cli.run_scores import REWARD, RunScores
from perm_cli.runs import RunFolder

MOST_TURNS = 10_000
_LEAST_WORDS = 3  # a word or two between quotation marks may be set off and no quote
_LONGEST = 2000

_Place = tuple[str, str]  # dialogue and system
_Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Seen:
    """Hold a rating as it is shown, and where its quotes were said: by turn, start and end."""

    shown: dict[str, Any]
    said: Sequence[tuple[int, int, int]]


def browsable(runs: RunScores, most_turns: int = MOST_TURNS) -> dict[str, Any]:
    """Return the dialogues as the page's script reads them, as many as have at most so many rated turns together."""
    kept, left_out = _kept(runs, most_turns)
    ratings = _ratings(runs, {(dialogue.id, dialogue.system) for dialogue in kept})
    rewards, spreads = _by_dialogue(runs)
    return {
        "dialogues": [_shown(dialogue, ratings[dialogue.id, dialogue.system], rewards, spreads) for dialogue in kept],
        "left_out": left_out,
    }


def _kept(runs: RunScores, most_turns: int) -> tuple[list[Dialogue], int]:
    kept: list[Dialogue] = []
    turns = left_out = 0
    for dialogue in runs.dialogues():
        turns += sum(turn.role == "supporter" for turn in dialogue.turns)
        if turns > most_turns and kept:
            left_out += 1
        else:
            kept.append(dialogue)
    return kept, left_out


def _ratings(runs: RunScores, places: set[_Place]) -> dict[_Place, list[_Row]]:
    """Return the ratings of some dialogues, the latest of each key and those that are settled before others."""
    names = {(each.judge, each.settings): each.rater for each in runs.health}
    latest: dict[str, _Row] = {}
    for run in runs.runs:
        for row in RunFolder(run).rows():
            before = latest.get(row["key"])
            if (row["dialogue_id"], row["system"]) in places and (
                before is None or _is_settled(row) or not _is_settled(before)
            ):
                latest[row["key"]] = row
    found: dict[_Place, list[_Row]] = defaultdict(list)
    for rating in latest.values():
        rater = names.get((rating["judge"], rating["settings"]))
        if rater is not None:
            found[rating["dialogue_id"], rating["system"]].append(dict(rating) | {"rater": rater})
    return found


def _is_settled(row: _Row) -> bool:
    return is_settled(row["status"], row["error"])


def _by_dialogue(runs: RunScores) -> tuple[dict[_Place, float], dict[_Place, float]]:
    """Return each dialogue's mean reward, and the widest range of scores that judges gave in it."""
    scores = runs.scores
    rewards: dict[_Place, list[float]] = defaultdict(list)
    spreads: dict[_Place, float] = defaultdict(float)
    ranges = [ranges_of(scores, name) for name in scores.tables if name != REWARD]
    widest = np.fmax.reduce(ranges) if ranges else np.zeros(len(scores.items))
    for place, item in enumerate(scores.items):
        own = scores.tables[REWARD][place]
        rewards[item.dialogue_id, item.system] += own[~np.isnan(own)].tolist()
        spreads[item.dialogue_id, item.system] = max(
            spreads[item.dialogue_id, item.system], float(np.nan_to_num(widest[place]))
        )
    return {place: sum(given) / len(given) for place, given in rewards.items() if given}, spreads


def _shown(
    dialogue: Dialogue, rows: Sequence[_Row], rewards: Mapping[_Place, float], spreads: Mapping[_Place, float]
) -> dict[str, Any]:
    seen = [_rating(dialogue, row) for row in sorted(rows, key=lambda row: (row["turn"], row["rater"]))]
    said = sorted({place for each in seen for place in each.said})
    place = (dialogue.id, dialogue.system)
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
                "marks": [[start, end, "said"] for of, start, end in said if of == number],
            }
            for number, turn in enumerate(dialogue.turns)
        ],
        "ratings": [each.shown for each in seen],
        "reward": rewards.get(place),
        "spread": spreads.get(place, 0.0),
        "failures": sum(row["status"] != "scored" for row in rows),
        "invented": sum(mark[2] == "invented" for each in seen for mark in each.shown["quotes"]),
    }


def _rating(dialogue: Dialogue, row: _Row) -> _Seen:
    why = str(row["rationale"] or row["note"] or (row["error"] or {}).get("message") or "")[:_LONGEST]
    heard = [turn.text for turn in dialogue.turns[: row["turn"]]]
    beside = [dialogue.scenario, dialogue.persona, *(turn.analysis or "" for turn in dialogue.turns[: row["turn"]])]
    quotes = quotes_in(str(row["rationale"])[:_LONGEST], [*heard, *beside])
    marks = [
        [quote.start, quote.end, "said" if quote.source else "invented"]
        for quote in quotes
        if quote.source or len(why[quote.start : quote.end].split()) >= _LEAST_WORDS
    ]
    shown = {
        "turn": row["turn"],
        "judge": row["rater"],
        "dimension": row["dimension"],
        "score": row["score"],
        "status": row["status"],
        "why": why,
        "quotes": marks,
    }
    return _Seen(shown, [quote.source for quote in quotes if quote.source and quote.source[0] < len(heard)])
