"""What files call the two sides."""

import pytest

from perm_cli.dialogues.files.roles import read_roles
from perm_cli.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        pytest.param("seeker=user,supporter=bot", {"user": "seeker", "bot": "supporter"}, id="both"),
        pytest.param(" seeker = user , supporter=bot ", {"user": "seeker", "bot": "supporter"}, id="blanks"),
        pytest.param("seeker=a,seeker=b,supporter=c", {"a": "seeker", "b": "seeker", "c": "supporter"}, id="two names"),
        pytest.param("seeker=a=b", {"a=b": "seeker"}, id="a name with an equals sign"),
    ],
)
def test_a_role_map_leads_from_their_names_to_ours(text: str, roles: dict[str, str]) -> None:
    """The option is typed by hand."""
    assert read_roles(text) == roles


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        pytest.param("", "''", id="nothing"),
        pytest.param("seeker", "'seeker'", id="no name"),
        pytest.param("seeker=", "'seeker='", id="empty name"),
        pytest.param("user=seeker", "'user=seeker'", id="the wrong way round"),
        pytest.param("seeker=user,", "''", id="comma at the end"),
    ],
)
def test_a_wrong_role_map_names_the_pair(text: str, pair: str) -> None:
    """A map that is half understood would judge the wrong side."""
    with pytest.raises(SettingsError) as raised:
        read_roles(text)

    assert str(raised.value) == f"--roles: {pair} found, expected seeker=NAME,supporter=NAME"


def test_a_role_map_with_one_name_for_both_is_refused() -> None:
    """Otherwise the later pair would win in silence."""
    with pytest.raises(SettingsError, match="'user' found for both sides, expected two different names"):
        read_roles("seeker=user,supporter=user")
