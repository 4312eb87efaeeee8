import io

import pytest

from client.arguments import parse
from client.errors import WrongUseError
from client.modes import mode_of


class Keyboard(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("flag", ["--suffix=x", "--json"])
def test_a_conversation_takes_no_flag_that_is_for_one_message(flag: str) -> None:
    with pytest.raises(WrongUseError, match="needs a message"):
        mode_of(parse([flag]), Keyboard())


@pytest.mark.parametrize("flag", ["--suffix=x", "--json", "--system=x"])
@pytest.mark.parametrize("stdin", [io.StringIO(), io.StringIO("\n"), None])
def test_neither_do_the_samples_that_are_played_where_nothing_is_piped_in(flag: str, stdin: io.StringIO | None) -> None:
    with pytest.raises(WrongUseError, match="needs a message"):
        mode_of(parse([flag]), stdin)
