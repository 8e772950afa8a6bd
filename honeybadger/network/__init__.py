"""From protocol messages to sockets and back.

`codec.py`: what is on the wire; `links.py`: reliable delivery as a state machine without sockets; `channel.py`: the
cipher between nodes; `security.py`: who may connect; `transport.py`: ZeroMQ sockets; `client_protocol.py`: what clients
and nodes say to each other; `client.py`: a client.
"""
