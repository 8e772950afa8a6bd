"""From protocol messages to sockets and back.

`codec.py`: what is on the wire; `links.py`: reliable delivery as a state machine without sockets; `security.py`,
`transport.py`: ZeroMQ sockets with CURVE; `client_protocol.py`: what clients and nodes say to each other;
`client.py`: a client.
"""
