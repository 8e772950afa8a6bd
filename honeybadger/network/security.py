"""Who may connect: ZAP (RFC 27) over ZeroMQ's CURVE (RFC 26) for clients, and over PLAIN (RFC 24) for nodes.

A node states its index in PLAIN. Its password is a *knock*, which only it and the node that it connects to can make,
from the secret of their CURVE keys (X25519). So a stranger is refused before it can send a message. The knock is the
same each time and travels in clear: who has watched a connection can repeat it. Therefore it opens the door and nothing
else; what a node says is taken from a `channel`, whose handshake nobody can repeat.

Without CURVE (`--no-curve`, for measurements) clients and nodes prove nothing and nothing is sealed; results record
that.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

import zmq
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from zmq.utils import z85

from honeybadger.network.channel import Initiator, Opener, respond

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

    def knock(self, sender: int, receiver: int) -> bytes:
        """The password of `sender` at `receiver`; this node is one of them. b"" if the other key is good for nothing.

        64 hexadecimal digits.
        """
        try:
            secret = self._mine().exchange(self._theirs(receiver if sender == self.me else sender))
        except ValueError:
            return b""
        return hmac.digest(secret, b"honeybadger knock %d %d" % (sender, receiver), "sha256").hex().encode()

    def initiate(self, peer: int) -> Initiator:
        """Begin the handshake with node `peer`; ChannelError if its key is good for nothing."""
        return Initiator(self._mine(), self._theirs(peer), _prologue(self.me, peer))

    def respond(self, peer: int, offer: bytes) -> tuple[bytes, Opener]:
        """Answer the offer of node `peer`; ChannelError if that node has not made it for this one."""
        return respond(self._mine(), self._theirs(peer), _prologue(peer, self.me), offer)

    def _mine(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(z85.decode(self.secret_key))

    def _theirs(self, peer: int) -> X25519PublicKey:
        return X25519PublicKey.from_public_bytes(z85.decode(self.member_keys[peer]))


def _prologue(sender: int, receiver: int) -> bytes:
    return b"honeybadger 1 %d %d" % (sender, receiver)


def secure_server(socket: zmq.Socket[bytes], credentials: Credentials, domain: bytes) -> None:
    """Make a listening socket authenticate its peers."""
    socket.zap_domain = domain
    if domain == NODES_DOMAIN:
        socket.plain_server = True
    elif credentials.curve:
        socket.curve_server = True
        socket.curve_secretkey = credentials.secret_key.encode()


def secure_peer(socket: zmq.Socket[bytes], credentials: Credentials, peer: int) -> None:
    """Make a connecting socket knock at node `peer`."""
    socket.plain_username = str(credentials.me).encode()
    socket.plain_password = credentials.knock(credentials.me, peer) if credentials.curve else b"not a secret"


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
        me = credentials.me
        self._credentials = credentials
        self._knocks = {
            peer: credentials.knock(peer, me) if credentials.curve else b""
            for peer in range(len(credentials.member_keys))
            if peer != me
        }
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
        name, password = credentials if mechanism == b"PLAIN" and len(credentials) == 2 else (b"", b"")
        index = int(name) if name.isdigit() and len(name) < 6 else -1
        if domain == NODES_DOMAIN and index in self._knocks and self._opens(index, password):
            return str(index)
        self.refused.append(f"{address}: unknown key" if self._credentials.curve else f"{address}: unknown name")
        del self.refused[:-100]
        return None

    def _opens(self, index: int, password: bytes) -> bool:
        knock = self._knocks[index]
        return not self._credentials.curve or (knock != b"" and hmac.compare_digest(knock, password))
