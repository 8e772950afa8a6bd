"""Authentication: ZAP over ZeroMQ's CURVE (RFC 27 and 26), or mere names without CURVE.

With CURVE a node's index is the one whose public key the peer has proven to own. Without CURVE (`--no-curve`, for
measurements) peers state their index in PLAIN and prove nothing; results record that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import zmq
from zmq.utils import z85

ZAP_ADDRESS = "inproc://zeromq.zap.01"
NODES_DOMAIN = b"nodes"
CLIENTS_DOMAIN = b"clients"
CLIENT_ID = "client"


@dataclass(frozen=True)
class Credentials:
    """CURVE key pair of this node and public keys of all members, as Z85 text (40 characters)."""

    me: int
    public_key: str
    secret_key: str = field(repr=False)
    member_keys: Sequence[str] = field(repr=False)
    curve: bool


def secure_server(socket: zmq.Socket[bytes], credentials: Credentials, domain: bytes) -> None:
    """Make a listening socket authenticate its peers."""
    socket.zap_domain = domain
    if credentials.curve:
        socket.curve_server = True
        socket.curve_secretkey = credentials.secret_key.encode()
    elif domain == NODES_DOMAIN:
        socket.plain_server = True


def secure_peer(socket: zmq.Socket[bytes], credentials: Credentials, peer: int) -> None:
    """Make a connecting socket authenticate to node `peer`, and check that node's key."""
    if credentials.curve:
        socket.curve_publickey = credentials.public_key.encode()
        socket.curve_secretkey = credentials.secret_key.encode()
        socket.curve_serverkey = credentials.member_keys[peer].encode()
    else:
        socket.plain_username = str(credentials.me).encode()
        socket.plain_password = b"not a secret"


def secure_client(socket: zmq.Socket[bytes], server_key: str, curve: bool) -> None:
    """Make a client's socket check the node's key; clients themselves are anonymous."""
    if curve:
        public, secret = zmq.curve_keypair()
        socket.curve_publickey = public
        socket.curve_secretkey = secret
        socket.curve_serverkey = server_key.encode()


class ZapHandler:
    """Answers ZAP requests of one context. `serve` handles the waiting requests and does not block."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], credentials: Credentials) -> None:
        self._credentials = credentials
        self._indices = {z85.decode(key): index for index, key in enumerate(credentials.member_keys)}
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(ZAP_ADDRESS)
        #: refused connections and the reason, newest last
        self.refused: list[str] = []

    def serve(self) -> None:
        """Answer every waiting request."""
        while True:
            try:
                request = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            version, request_id = request[0], request[1]
            user = self._user(request[2], request[3].decode("ascii", "replace"), request[5], request[6:])
            if user is None:
                reply = [version, request_id, b"400", b"refused", b"", b""]
            else:
                reply = [version, request_id, b"200", b"OK", user.encode(), b""]
            self.socket.send_multipart(reply)

    def _user(self, domain: bytes, address: str, mechanism: bytes, credentials: Sequence[bytes]) -> str | None:
        if domain == CLIENTS_DOMAIN:
            return CLIENT_ID if mechanism == (b"CURVE" if self._credentials.curve else b"NULL") else None
        if self._credentials.curve:
            index = self._indices.get(credentials[0]) if mechanism == b"CURVE" and credentials else None
        else:
            name = credentials[0] if mechanism == b"PLAIN" and credentials else b""
            index = int(name) if name.isdigit() and len(name) < 6 else None
            if index is not None and index >= len(self._indices):
                index = None
        if index is None or index == self._credentials.me:
            self.refused.append(f"{address}: unknown key" if self._credentials.curve else f"{address}: unknown name")
            del self.refused[:-100]
            return None
        return str(index)
