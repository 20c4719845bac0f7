"""Makes MiniStack's CloudWatch understand the Go SDK.

The SDK speaks Smithy's RPC v2 with CBOR. MiniStack reads and writes it by the package cbor2 where that is installed, and answers with
JSON that it calls CBOR where it isn't. What RPC v2 uses of RFC 8949 is here.
"""

import struct
import sys
from datetime import datetime, timezone


def install():
    sys.modules.setdefault("cbor2", sys.modules[__name__])


class CBORTag:
    """A tagged value. RPC v2 knows tag 1, seconds since 1970."""

    def __init__(self, tag, value):
        self.tag, self.value = tag, value


def dumps(value):
    """Encodes a value. None has to be left out by the caller, as RPC v2 asks."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return _head(0, value) if value >= 0 else _head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    if isinstance(value, str):
        encoded = value.encode()
        return _head(3, len(encoded)) + encoded
    if isinstance(value, (list, tuple)):
        return _head(4, len(value)) + b"".join(map(dumps, value))
    if isinstance(value, dict):
        return _head(5, len(value)) + b"".join(dumps(k) + dumps(v) for k, v in value.items())
    if isinstance(value, datetime):
        return dumps(CBORTag(1, value.timestamp()))
    if isinstance(value, CBORTag):
        return _head(6, value.tag) + dumps(value.value)
    raise ValueError(f"RPC v2 CBOR has no {type(value).__name__}")


def _head(major, argument):
    for info, (limit, form) in enumerate(((24, None), (1 << 8, ">B"), (1 << 16, ">H"), (1 << 32, ">I"), (1 << 64, ">Q")), start=23):
        if argument < limit:
            return bytes([major << 5 | argument]) if form is None else bytes([major << 5 | info]) + struct.pack(form, argument)
    raise ValueError(f"{argument} has more than 64 bits")


def loads(data):
    """Decodes one value; what follows it is an error."""
    value, end = _decode(data, 0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes follow the CBOR value")
    return value


_BREAK = object()
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}


def _decode(data, at):
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if info == 31:
            return _BREAK, at
        if info in _FLOATS:
            size = struct.calcsize(_FLOATS[info])
            return struct.unpack_from(_FLOATS[info], data, at)[0], at + size
        return _SIMPLE[info], at
    endless = info == 31
    argument = info
    if 24 <= info <= 27:
        size = 1 << info - 24
        argument, at = int.from_bytes(data[at:at + size], "big"), at + size
    elif 28 <= info <= 30 or endless and major not in (2, 3, 4, 5):
        raise ValueError(f"CBOR has no head {major}/{info}")
    if major == 0:
        return argument, at
    if major == 1:
        return -1 - argument, at
    if major == 6:
        value, at = _decode(data, at)
        if argument == 1:
            value = datetime.fromtimestamp(value, timezone.utc)
        return value, at
    if major in (2, 3) and not endless:
        if at + argument > len(data):
            raise ValueError("the CBOR ends within a string")
        piece = bytes(data[at:at + argument])
        return piece if major == 2 else piece.decode(), at + argument
    members = []
    wanted = argument * (2 if major == 5 else 1)
    while endless or len(members) < wanted:
        value, at = _decode(data, at)
        if value is _BREAK:
            break
        members.append(value)
    if major == 2:
        return b"".join(members), at
    if major == 3:
        return "".join(members), at
    return members if major == 4 else dict(zip(members[::2], members[1::2])), at
