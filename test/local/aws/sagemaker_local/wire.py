"""Sends the head of an HTTP answer together with the beginning of its body.

MiniStack's server writes them one after the other. On loopback the AWS SDK for Go then gets the head while its transport
still finishes the request; the SDK closes the request's body, the transport takes that for a failed write and closes the
connection, and the answer's body is lost ("use of closed network connection") although the call was carried out. On AWS
the network is too slow for that race. In one packet there is nothing left to lose.
"""

import h11
from hypercorn.events import RawData
from hypercorn.protocol.h11 import H11Protocol


def join_head_and_body():
    async def send(protocol, event):
        try:
            data = protocol.connection.send(event)
        except h11.LocalProtocolError:
            if protocol.connection.their_state != h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            protocol.head = data
            return
        head, protocol.head = getattr(protocol, "head", b""), b""
        await protocol.send(RawData(data=head + data))

    H11Protocol._send_h11_event = send
