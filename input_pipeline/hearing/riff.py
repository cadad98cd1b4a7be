"""The chunks of RIFF files (WAV), also of those beyond 4 GiB and of those that lie."""

import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

UNKNOWN = 2**32 - 1  # as a size: what is written to a pipe, or found in a chunk ds64


def is_wave(stream: BinaryIO) -> bool:
    """Whether a WAV file begins here; leaves the stream at its first chunk."""
    header = stream.read(12)
    return header[:4] in (b"RIFF", b"RF64", b"BW64") and header[8:] == b"WAVE"


def chunks(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yields name and size of every chunk, with the stream at its content."""
    long_size = 0
    while len(header := stream.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        if not is_name(name):
            return  # not a chunk: the one before is longer than it says
        start = stream.tell()
        if name == b"ds64":  # of files beyond 4 GiB
            long_size = int.from_bytes(stream.read(16)[8:], "little")
            stream.seek(start)
        if name == b"data" and size == UNKNOWN:
            size = long_size or size
        yield name, size
        stream.seek(start + size)
        if size % 2 and stream.read(1) not in (b"\0", b""):
            stream.seek(start + size)  # some programs leave the padding out


def is_name(name: bytes) -> bool:
    """Whether these four bytes may be the name of a chunk."""
    return all(32 <= letter < 127 for letter in name)


def understates(stream: BinaryIO, share: float) -> bool:
    """Whether a WAV file's audio goes on after its stated end, for `share` of the file or more."""
    if not is_wave(stream):
        return False
    for name, size in chunks(stream):
        if name == b"data" and size:
            end = stream.tell() + size
            length = stream.seek(0, os.SEEK_END)
            stream.seek(min(end, length))
            after = stream.read(5)  # one of them may be padding
            is_chunk = is_name(after[:4]) or is_name(after[1:]) or after.startswith(b"ID3")
            return length - end > share * length and not is_chunk
    return False
