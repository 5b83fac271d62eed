"""A tape: what passed on the bus, in a file that loses nothing but its end when the power goes.

The file is the 8 bytes `VPTAPE1\\n`, then records: length and CRC-32 of the payload (two little-endian u32), then
the payload, one msgpack value. The first is a map, the header. Each other one is `[ns, topic, map]`: the monotonic ns
at which it was received, the topic, and the map of the message as PROTOCOL.md has it. Nothing points anywhere else in
the file, so that what stands before a damage can always be read.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import msgpack

MAGIC: Final = b"VPTAPE1\n"
MAX_RECORD_BYTES: Final = 17 * 2**20
"""Above what any message may have; a longer record is a damage, not a reason to ask for 4 GB."""
_HEAD: Final = struct.Struct("<II")


class Entry(NamedTuple):
    """One message and when it came."""

    ns: int
    topic: str
    fields: dict[str, Any]
    """The map of the message, stamp and all."""


class TapeError(Exception):
    """The file can't be opened, or is no tape. The text names it and what was expected."""


class Damaged(TapeError):
    """The tape is torn here: everything before was read. Raised by `Tape.entries` at its end."""


class Recorder:
    """Writes a tape, up to `max_bytes`."""

    def __init__(self, file: BinaryIO, header: Mapping[str, Any], max_bytes: int) -> None:
        """Writes the header. Raises OSError."""
        self._file, self._max_bytes = file, max_bytes
        self.bytes = file.write(MAGIC)
        self.entries = 0
        self._write(msgpack.packb(dict(header)))

    def write(self, ns: int, topic: str, fields: Mapping[str, Any]) -> bool:
        """Append one message. False if it would pass the bound: nothing was written. Raises OSError."""
        payload = msgpack.packb([ns, topic, fields])
        if self.bytes + _HEAD.size + len(payload) > self._max_bytes:
            return False
        self._write(payload)
        self.entries += 1
        return True

    def _write(self, payload: bytes) -> None:
        self._file.write(_HEAD.pack(len(payload), zlib.crc32(payload)) + payload)
        self.bytes += _HEAD.size + len(payload)


class Tape:
    """A tape to read. Every pass over `entries` begins at its start."""

    def __init__(self, path: Path) -> None:
        """Reads the header. Raises TapeError."""
        self.path = path
        with self._open() as file:
            magic = file.read(len(MAGIC))
            if magic != MAGIC:
                raise TapeError(f"{path}: expected a tape (a file that begins with VPTAPE1); make one with `record`")
            try:
                header = self._record(file, 0)
            except Damaged as error:
                raise TapeError(f"{error}; not even its header is whole") from error
            if not isinstance(header, dict):
                raise TapeError(f"{path}: damaged at byte {len(MAGIC)}: not even its header is whole")
            self._start = file.tell()
        self.header: dict[str, Any] = header

    def entries(self) -> Iterator[Entry]:
        """Every message in the order in which it came. Raises Damaged after the last whole one of a torn tape."""
        with self._open() as file:
            file.seek(self._start)
            count = 0
            while (value := self._record(file, count)) is not None:
                yield self._entry(value, count)
                count += 1

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise TapeError(f"{self.path}: {error.strerror}; expected a tape made by `record`") from error

    def _record(self, file: BinaryIO, count: int) -> Any:
        place = file.tell()
        head = file.read(_HEAD.size)
        if not head:
            return None
        if len(head) < _HEAD.size:
            raise self._damaged(place, count, "it ends within a record")
        size, checksum = _HEAD.unpack(head)
        if size > MAX_RECORD_BYTES:
            raise self._damaged(place, count, f"a record of {size} bytes")
        payload = file.read(size)
        if len(payload) < size:
            raise self._damaged(place, count, "it ends within a record")
        if zlib.crc32(payload) != checksum:
            raise self._damaged(place, count, "a checksum is wrong")
        try:
            return msgpack.unpackb(payload, raw=False, strict_map_key=False)
        except Exception as error:  # msgpack raises half a dozen unrelated classes
            raise self._damaged(place, count, f"{type(error).__name__} in a record") from error

    def _entry(self, value: Any, count: int) -> Entry:
        match value:
            case [int(ns), str(topic), dict(fields)]:
                return Entry(ns, topic, fields)
        raise self._damaged(self._start, count, "a record that is no message")

    def _damaged(self, place: int, count: int, what: str) -> Damaged:
        return Damaged(f"{self.path}: damaged at byte {place}: {what}; the {count} messages before it are whole")
