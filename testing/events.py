"""Server-sent events, as the standard has them: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventParser:
    """Gives the payloads of the events in a stream of bytes, wherever the network has cut it."""

    def __init__(self) -> None:
        self._rest = b""
        self._payload: list[bytes] = []
        self._after_carriage_return = False
        self._begun = False

    def push(self, piece: bytes) -> list[str]:
        """The payloads of the events that `piece` completes; one without any data is no event."""
        if self._after_carriage_return and piece.startswith(b"\n"):
            piece = piece[1:]
            self._after_carriage_return = False
        if not piece:
            return []
        self._after_carriage_return = piece.endswith(b"\r")
        *lines, self._rest = _LINE_END.split(self._rest + piece)
        return [event for line in lines if (event := self._read(line)) is not None]

    def _read(self, line: bytes) -> str | None:
        if not self._begun:
            line = line.removeprefix(_BYTE_ORDER_MARK)
            self._begun = True
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                self._payload.append(value.removeprefix(b" "))
            return None
        lines, self._payload = self._payload, []
        return b"\n".join(lines).decode(errors="replace") if lines else None
