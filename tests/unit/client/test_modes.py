import errno
import io
import os

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


def test_a_standard_input_that_cannot_be_read_is_said_to_be_one() -> None:
    class Unreadable(io.StringIO):
        def read(self, _: int | None = -1) -> str:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.raises(WrongUseError, match=r"^standard input cannot be read: Input/output error$"):
        mode_of(parse([]), Unreadable())
