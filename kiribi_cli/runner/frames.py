"""What brain and hands say to each other: length-prefixed JSON frames, each a batch of messages, over a stream socket.

Runs in the hands too: stdlib only, and light. Nothing here blocks; what cannot be written now is kept in order.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # importing typing costs the hands two megabytes
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BLOCK = 262_144


class _ScannerRules:
    """What json's C scanner asks of the decoder that made it."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float

    def __init__(self) -> None:
        self.memo: dict[str, str] = {}


def _codec() -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    # json itself imports re: a megabyte and several milliseconds for the hands, which need its C parts only.
    try:
        from _json import encode_basestring_ascii, make_encoder, make_scanner

        # markers, default, encoder, indent, key_separator, item_separator, sort_keys, skipkeys, allow_nan
        chunks: Any = make_encoder(None, None, encode_basestring_ascii, None, ":", ",", False, False, True)  # type: ignore[arg-type]  # noqa: FBT003
        scan: Any = make_scanner(_ScannerRules())  # type: ignore[arg-type]
        sample = [1, "ä\udcff", None, True, {"a": [0.5]}]
        if scan("".join(chunks(sample, 0)), 0)[0] == sample:
            return lambda value: "".join(chunks(value, 0)), lambda text: scan(text, 0)[0]
    except (ImportError, TypeError, AttributeError):
        pass  # another interpreter's json: slower to load, otherwise the same
    import json

    return lambda value: json.dumps(value, separators=(",", ":")), json.loads


dumps, loads = _codec()


class Wire:
    """One end of the socket between brain and hands. `lost` becomes true when the other end is gone."""

    __slots__ = ("_in", "_out", "fd", "lost")

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.lost = False
        self._in = bytearray()
        self._out = bytearray()

    def send(self, messages: list[Any]) -> None:
        """Write a batch, or as much of it as the socket takes now; the rest waits for `flush`."""
        text = dumps(messages).encode("ascii")
        self._out += len(text).to_bytes(4, "big")
        self._out += text
        self.flush()

    def flush(self) -> bool:
        """Write what waits; true when nothing does."""
        while self._out and not self.lost:
            try:
                sent = os.write(self.fd, memoryview(self._out)[:_BLOCK])
            except BlockingIOError:
                return False
            except OSError:
                self.lost = True
                return False
            del self._out[:sent]
        return not self._out

    def receive(self) -> list[Any]:
        """Read all messages that have arrived."""
        while not self.lost:
            try:
                block = os.read(self.fd, _BLOCK)
            except BlockingIOError:
                break
            except OSError:
                block = b""
            if not block:
                self.lost = True
                break
            self._in += block
            if len(block) < _BLOCK:
                break
        return self._parsed()

    def close(self) -> None:
        """Close the socket; once is enough."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
        self.lost = True

    def _parsed(self) -> list[Any]:
        messages: list[Any] = []
        place = 0
        while len(self._in) - place >= 4:
            end = place + 4 + int.from_bytes(self._in[place : place + 4], "big")
            if end > len(self._in):
                break
            messages += loads(self._in[place + 4 : end].decode("ascii"))
            place = end
        if place:
            del self._in[:place]
        return messages
