"""The closed sets of words that options, files and modules share; cheap to import, so that `--help` stays fast."""

from typing import Literal, get_args

Role = Literal["seeker", "supporter"]
Turns = Literal["all", "last"]
Structured = Literal["auto", "schema", "json", "text"]
ScoreMode = Literal["mode", "expected", "mean"]
PanelName = Literal["mean", "median", "weighted"]
TrainerName = Literal["trl", "verl", "openrlhf", "swift", "slime"]
PolicyStyle = Literal["analysis", "plain"]
PairFormat = Literal["trl", "trl-implicit", "kto", "openrlhf", "swift", "llamafactory", "openai"]
PairStrategy = Literal["best-worst", "all"]
Thinking = Literal["auto", "opened", "unopened"]
OnMissing = Literal["none", "floor", "mean", "raise"]
FusionName = Literal["harmonic", "mean", "weighted-mean", "geometric"]
Status = Literal["scored", "refused", "truncated", "unparseable", "out_of_range", "failed", "skipped"]
# Each but `auto` is a module of `dialogues/formats`. A row belongs to the first format that recognises it, so the
# order matters.
FormatName = Literal[
    "auto",
    "mtbench",
    "deepeval",
    "native",
    "messages",
    "paper",
    "sharegpt",
    "eqbench3",
    "esconv",
    "empathetic",
    "epitome",
    "annomi",
    "ieval",
    "sage",
    "inspect",
    "promptfoo",
    "batch",
    "alpaca",
    "completion",
    "transcript",
    "csv",
]

LARGEST_INTEGER = 2**31 - 1
"""The largest integer that an option or a setting may have: what every file format and endpoint can store."""

FUSIONS: tuple[FusionName, ...] = get_args(FusionName)
