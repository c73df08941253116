"""The columns of a table that hold the fields of a dialogue: the map behind `--columns`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from perm_cli.errors import SettingsError

_FIELDS = ("id", "system", "turn", "role", "text", "analysis", "seeker", "supporter", "scenario", "persona")
_FORM = "expected FIELD=COLUMN,…, each FIELD one of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """The columns of fields and labels; a field that is not listed is in the column of its own name."""

    fields: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def of(self, name: str) -> str:
        """Return the column of a field."""
        return self.fields.get(name, name)

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield the pairs of field and column that the user has given."""
        yield from self.fields.items()
        yield from ((f"label.{name}", column) for name, column in self.labels.items())


def read_columns(text: str) -> Columns:
    """Read `id=conv_id,text=utterance,label.empathy=empathy`; raise `SettingsError` if the text has another form."""
    fields: dict[str, str] = {}
    labels: dict[str, str] = {}
    for pair in text.split(","):
        name, _, column = (part.strip() for part in pair.partition("="))
        label = name.removeprefix("label.") if name.startswith("label.") else ""
        if not column or (not label and name not in _FIELDS):
            raise SettingsError(f"--columns: {pair!r} found, {_FORM} {', '.join(_FIELDS)}, label.NAME")
        known, key = (labels, label) if label else (fields, name)
        if key in known:
            raise SettingsError(f"--columns: {name!r} found twice, expected one column for it")
        known[key] = column
    return Columns(fields=fields, labels=labels)
