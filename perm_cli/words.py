"""The closed sets of words that options, files and modules share; light to import, so that help costs nothing."""

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
# Each but `auto` is a module of `dialogues/formats`; in this order they are asked whether a row is theirs.
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

MOST = 2**31 - 1
"""The largest whole number in options and settings, which every file and endpoint can hold."""

FUSIONS: tuple[FusionName, ...] = get_args(FusionName)
