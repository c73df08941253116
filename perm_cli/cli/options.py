"""The options that commands share. Nothing heavy is imported here: `perm --help` reads this module."""

import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

from typer import Argument, Context, Option
from typer.core import TyperCommand

from perm_cli.errors import PermError
from perm_cli.judges.settings import OPTIONS, JudgeSettings
from perm_cli.text import harmless
from perm_cli.words import LARGEST_INTEGER, FormatName, FusionName, PanelName, PolicyStyle, ScoreMode, Turns


def judge_names(context: Context, incomplete: str) -> list[str]:
    """Return the names of judges that begin so: of those in the settings file, and of perm's own."""
    from perm_cli.judges.configuration import load_configuration
    from perm_cli.judges.routes import OWN_NAMES

    config = context.params.get("config")
    configured: Iterable[str] = ()
    with suppress(PermError):  # a mistake in the file is said when a command is run
        configured = load_configuration(Path(config) if config else None).judges
    return [name for name in (*configured, *OWN_NAMES) if name.startswith(incomplete) and harmless(name) == name]


def _judge_option(name: str) -> Any:
    """Return the command-line option for a setting of the judge."""
    _, known = OPTIONS[name]
    default = JudgeSettings.__dataclass_fields__[name].default
    usual = known.usual or (f"{default:g}" if isinstance(default, int | float) else "")
    says = f"{known.help}  [default: {usual}]" if usual else known.help
    flag = known.flag or f"--{name.replace('_', '-')}"
    return Option(flag, min=known.least, max=known.most, help=says, show_default=False)


Files = Annotated[
    list[str],
    Argument(
        help="Files, folders or patterns of dialogues: JSONL, JSON, CSV, Parquet, .eval or .txt, also .gz and .zst; "
        "`-` is standard input.",
        show_default=False,
    ),
]
RunPath = Annotated[Path, Argument(metavar="RUN", help="Run folder written by `perm score`.", show_default=False)]
AsJson = Annotated[bool, Option("--json", help="Print JSON, and nothing else, on standard output.")]
Runs = Annotated[
    list[Path], Argument(metavar="RUN...", help="Run folders, or a folder above them.", show_default=False)
]
Style = Annotated[
    PolicyStyle, Option(help="What the policy is asked for: `# Analysis` and `# Response`, or a plain reply.")
]
Overwrite = Annotated[bool, Option("--force", help="Overwrite an existing file.")]
JsonLines = Annotated[str, Option("--out", help="JSON Lines file to write; `-` is standard output.")]
Inputs = Annotated[
    list[str],
    Argument(
        metavar="INPUT...",
        help="Files, folders or patterns of dialogues to rate first, run folders, or a CSV file of ratings.",
        show_default=False,
    ),
]
Judges = Annotated[
    list[str] | None,
    Option(
        "--judge",
        help="Judge that rates the dialogues; may be repeated.",
        show_default=False,
        autocompletion=judge_names,
    ),
]
People = Annotated[
    list[str] | None,
    Option(help="Name of a human rater in the CSV file; may be repeated.  [default: told by name]", show_default=False),
]
PanelOption = Annotated[
    PanelName | None, Option("--panel", help="Combine all judges into one more rater.", show_default=False)
]
Tex = Annotated[
    Path | None,
    Option("--tex", metavar="FILE", help="File for the tables as LaTeX with booktabs.", show_default=False),
]
RunsFolder = Annotated[Path, Option("--out", help="Folder for the run folders, one per judge.")]
Config = Annotated[
    Path | None,
    Option(help="Settings file.  [default: the nearest perm.toml or [tool.perm]]", show_default=False),
]
JudgeName = Annotated[
    str | None,
    Option(
        help="LiteLLM model name such as openai/gpt-5.4-mini, a name from perm.toml, `local`, `local:FILE.gguf`, or "
        "`baseline`, which counts words.",
        show_default=False,
        autocompletion=judge_names,
    ),
]

BaseUrl = Annotated[str | None, _judge_option("base_url")]
ApiKeyEnv = Annotated[str | None, _judge_option("api_key_env")]
_JUDGE_OPTIONS: dict[str, Any] = {
    name: Annotated[get_args(kind)[0] | None, _judge_option(name)] for name, (kind, _) in OPTIONS.items()
}
Asked = Annotated[Mapping[str, Any], _JUDGE_OPTIONS]
"""The judge's options as given, None where not given: a field of this type becomes one option per setting."""


Rubrics = Annotated[
    str | None,
    Option(
        metavar="NAME|DIR",
        help="Rubric pack: the name of a shipped one, or a folder.  [default: perm]",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions:
    """How files are read as dialogues."""

    format: Annotated[FormatName, Option(help="Format of the files.")] = "auto"
    roles: Annotated[
        str | None,
        Option(help="Role names in the files, as in seeker=user,supporter=assistant.", show_default=False),
    ] = None
    columns: Annotated[
        str | None,
        Option(
            help="Columns that hold the fields, as in id=conv,role=speaker,text=said,label.mood=m.",
            show_default=False,
        ),
    ] = None
    strict: Annotated[bool, Option("--strict", help="Refuse empty replies instead of passing them over.")] = False


MinCoverage = Annotated[float, Option(min=0, max=1, help="Exit with 3 if a smaller share of the ratings has a score.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueOptions(ReadingOptions):
    """How dialogues are read, and what the judge is asked about them."""

    turns: Annotated[Turns, Option(help="Supporter turns to judge, each with the turns before it.")] = "all"
    rubrics: Rubrics = None
    prompts: Annotated[
        Path | None, Option(help="Folder of prompt templates.  [default: the pack's own]", show_default=False)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """The judge, and how it is asked."""

    judge: JudgeName = None
    asked: Asked = field(default_factory=dict)
    score: Annotated[
        ScoreMode,
        Option(help="mode: as stated; expected: weighted by log-probabilities; mean: of all samples."),
    ] = "mode"
    samples: Annotated[int, Option(min=1, max=LARGEST_INTEGER, help="Ratings per question.")] = 1
    reask: Annotated[
        int, Option(min=0, max=LARGEST_INTEGER, help="How often to ask again after an unreadable reply.")
    ] = 1
    config: Config = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessOptions:
    """How the judge of a run is reached, whatever the run's record says."""

    base_url: BaseUrl = None
    api_key_env: ApiKeyEnv = None
    config: Config = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardOptions:
    """How scores become a reward."""

    fusion: Annotated[
        FusionName | None, Option(help="How scores are fused.  [default: the pack's, harmonic in perm]")
    ] = None
    coef: Annotated[
        str | None,
        Option(
            metavar="NAME=NUMBER,…",
            help="Coefficients of the dimensions that lower the reward.  [default: the pack's]",
            show_default=False,
        ),
    ] = None
    length_penalty: Annotated[
        float, Option(min=0, max=100, help="Penalty per token over the limit (0.001 in the paper).")
    ] = 0.0
    length_limit: Annotated[
        int, Option(min=0, max=LARGEST_INTEGER, help="Tokens a completion may have without a penalty.")
    ] = 768
    tokenizer: Annotated[str, Option(help="Tokenizer that counts them: cl100k_base or a tokenizer.json.")] = (
        "cl100k_base"
    )
    weights: Annotated[
        str | None,
        Option(metavar="NAME=NUMBER,…", help="Weights of the fused dimensions, for weighted-mean.", show_default=False),
    ] = None
    calibration: Annotated[
        Path | None, Option(help="File from `perm calibrate` that maps scores to people's levels.", show_default=False)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelOptions:
    """People's labels, and the dimensions they are compared with."""

    labels: Annotated[
        Path | None,
        Option(help="CSV file of people's ratings.  [default: the dialogues' labels]", show_default=False),
    ] = None
    map: Annotated[
        str | None,
        Option(
            metavar="NAME=LABEL,…",
            help="Label that each dimension is compared with; NAME=-LABEL for a reversed scale.",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpendingOptions:
    """How much may be spent, and which ratings are reused."""

    budget: Annotated[
        str | None,
        Option(help="Most that the run folder may cost, as in 5usd, 2M-tokens or 1000calls.", show_default=False),
    ] = None
    reuse: Annotated[
        list[Path] | None, Option(help="Run folder to reuse ratings from; may be repeated.", show_default=False)
    ] = None


_ADDRESS = re.compile(r"auto|local|\[?[\w.:-]*\w\]?:\d+")


_COEFFICIENT = re.compile(r"--([a-z][a-z0-9-]*)-coef(?:=(.*))?")


class Spelled(TyperCommand):
    """
    A command whose options have shorter spellings.

    `--ray` without an address means this machine, and `--NAME-coef NUMBER` is `--coef NAME=NUMBER`.
    """

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        """Spell out the shorter forms, then parse."""
        spelled: list[str] = []
        coefficients: list[str] = []
        left = iter(arguments)
        for each in left:
            if each == "--":
                spelled += [each, *left]
            elif found := _COEFFICIENT.fullmatch(each):
                number = found[2] if found[2] is not None else next(left, "")
                coefficients.append(f"{found[1].replace('-', '_')}={number}")
            else:
                spelled.append(each)
        if coefficients:
            spelled = ["--coef", ",".join(coefficients), *spelled]
        return super().parse_args(context, _with_address(spelled))


def _with_address(arguments: list[str]) -> list[str]:
    spelled: list[str] = []
    for place, each in enumerate(arguments):
        if each == "--":
            return spelled + arguments[place:]
        after = arguments[place + 1] if place + 1 < len(arguments) else ""
        spelled.append("--ray=local" if each == "--ray" and not _ADDRESS.fullmatch(after) else each)
    return spelled


def with_options(function: Callable[..., None]) -> Callable[..., None]:
    """
    Spell out a command's parameters that are option groups: one option per field, and per name in an `Asked` one.

    A parameter of the command's own takes the place of a field of that name, which keeps its default.
    """
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, _Group] = {name: _Group(hint) for name, hint in hints.items() if is_dataclass(hint)}
    own = {name for name in hints if name not in groups}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        group = groups.get(parameter.name)
        parameters += (
            [each for each in group.parameters() if each.name not in own]
            if group
            else [parameter.replace(annotation=hints[parameter.name])]
        )

    @wraps(function)
    def command(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group.made_of(given, own)
        function(**given)

    signature = inspect.Signature([each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters])
    command.__signature__ = signature  # type: ignore[attr-defined]  # what Typer reads
    command.__annotations__ = {each.name: each.annotation for each in parameters}
    return command


class _Group:
    """A dataclass of options: its fields as parameters of a command, and the instance made of their values."""

    def __init__(self, kind: Any) -> None:
        hints = get_type_hints(kind, include_extras=True)
        self._kind = kind
        self._options = {
            each.name: _JUDGE_OPTIONS if hints[each.name] == Asked else {each.name: hints[each.name]}
            for each in fields(kind)
        }

    def parameters(self) -> Iterator[inspect.Parameter]:
        """Yield one parameter per option."""
        for each in fields(self._kind):
            default = None if self._options[each.name] is _JUDGE_OPTIONS else each.default
            for name, annotation in self._options[each.name].items():
                yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    def made_of(self, given: dict[str, Any], own: Collection[str]) -> Any:
        """Remove the options' values from `given` and return the group made of them; names in `own` are left."""
        values: dict[str, Any] = {}
        for field_name, options in self._options.items():
            if options is _JUDGE_OPTIONS:
                values[field_name] = {name: given.pop(name) for name in options}
            elif field_name not in own:
                values[field_name] = given.pop(field_name)
        return self._kind(**values)
