"""No message, whatever its fields, from whomever, at whatever moment, makes a crash-fault protocol's `handle` raise."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.crash_faults.lone import Lone, batch

from honeybadger.protocols.raft import SPECIFICATION as RAFT
from honeybadger.protocols.replicated_log.messages import Append, Heartbeat
from honeybadger.protocols.vr import SPECIFICATION as VR
from honeybadger.protocols.zab import SPECIFICATION as ZAB

PROTOCOLS = pytest.mark.parametrize("specification", [RAFT, VR, ZAB], ids=lambda each: each.name)
small = st.sampled_from([0, 1, 2, 3, 4]) | st.sampled_from([5, 9, 2**31, 2**53])
batches = st.sampled_from([b"", b"\xff\xff", batch(b"one"), batch(b"two", b"three")])
FIELDS = {
    "batch": batches,
    "transactions": batches | st.just(batch(b"four")[4:]),
    "granted": st.booleans(),
    "pre": st.booleans(),
    "node": st.sampled_from([0, 1, 2, 65535]),
    "nonce": st.just(bytes(16)),
}


def steps(specification):
    """A message, or what else may happen to a node."""
    messages = st.one_of(
        *(
            st.builds(kind, *(FIELDS.get(name, small) for name in kind.__struct_fields__))
            for kind in _types(specification)
        )
    )
    other = st.sampled_from(["submit", "expire", "restart", "skip"])
    return st.lists(st.tuples(st.sampled_from([0, 2]), messages) | other, min_size=10, max_size=60)


def _types(specification):
    # The first message of most ways that lead somewhere, more often.
    by_name = {kind.__name__: kind for kind in specification.message_types}
    return (*specification.message_types, *(by_name["Append"],) * 3, *(by_name["Heartbeat"],) * 3)


@PROTOCOLS
def test_a_leader_that_contradicts_itself_commits_nothing_that_is_not_here(specification):
    node = Lone(specification, me=0)
    node.hear(1, Heartbeat(0, 1, 0, 0, 0))
    for number in (1, 2, 3):
        node.hear(1, Append(number, 1, number > 1, 1, 0, b""))
    node.hear(1, Append(2, 1, 1, 5, 3, b""))
    assert len(node.committed) == 2


@PROTOCOLS
@pytest.mark.parametrize("silent_through", [0, 3])
def test_handle_never_raises(specification, silent_through):
    decoder = msgspec.msgpack.Decoder(msgspec.Raw)

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(steps(specification))
    def run(chosen):
        node = Lone(specification, silent_through=silent_through)
        for step in chosen:
            match step:
                case "submit":
                    node.submit(b"mine")
                case "expire":
                    for name in list(node.timers):
                        node.expire(name)
                case "restart":
                    node.restart(first_epoch=node.protocol.epoch)
                case "skip":
                    node.protocol.skip_to(node.protocol.epoch + 2)
                    node.application.blocks += [(0, (), ())] * 2
                case sender, message:
                    assert decoder.decode(msgspec.msgpack.encode(message)), "only what can come off the wire"
                    node.hear(sender, message)
            node.protocol.status()
            node.protocol.held_bytes()
        assert len(node.protocol._log.held_bytes()) <= 3 * node.parameters.epoch_window + 60

    run()
