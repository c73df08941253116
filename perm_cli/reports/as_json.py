"""What commands print with --json: everything that their tables are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from perm_cli.comparing.against_people import DimensionValidation
from perm_cli.comparing.checks import Check
from perm_cli.comparing.from_runs import Health
from perm_cli.comparing.panel import Panel
from perm_cli.comparing.side_by_side import Comparison
from perm_cli.comparing.systems import Leaderboard
from perm_cli.reports import compared, validated
from perm_cli.reports.graded import board_record


def comparison_json(comparison: Comparison, health: Sequence[Health], panel: Panel | None) -> str:
    """Return a comparison of judges, the health of their ratings and the panel made of them."""
    return _json(
        asdict(comparison)
        | {
            "boards": [board_record(board) for board in comparison.boards],
            "health": list(map(_health, health)),
            "panel": asdict(panel) if panel else None,
            "findings": compared.findings(comparison, health, panel),
        }
    )


def grades_json(boards: Sequence[Leaderboard], checks: Sequence[Check]) -> str:
    """Return leaderboards and what was checked in them."""
    return _json({"boards": list(map(board_record, boards)), "checks": list(map(asdict, checks))})


def validation_json(found: Sequence[DimensionValidation], caveats: Sequence[str]) -> str:
    """Return a validation of judges, with its findings and the caveats on the judges."""
    return _json(
        {
            "dimensions": list(map(asdict, found)),
            "findings": list(validated.findings(found)),
            "caveats": list(caveats),
        }
    )


def _health(health: Health) -> Mapping[str, Any]:
    return {
        "rater": health.rater,
        "coverage": health.coverage,
        "statuses": dict(health.spending.statuses),
        "cost_usd": health.spending.cost_usd,
        "latency_s": {"median": health.latency_s(0.5), "p95": health.latency_s(0.95)},
    }


def _json(content: Mapping[str, Any]) -> str:
    # Rated items are named tuples, which orjson does not know.
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(content, default=lambda item: item._asdict(), option=options).decode()
