"""Common subset alone, with broadcasts and agreements that the test moves by hand."""

import pytest

from honeybadger.protocols.honey_badger.common_subset import CommonSubset
from honeybadger.protocols.quorums import BYZANTINE, Quorums

SIZES = [4, 5, 7]


class Broadcast:
    """`begun`: anything was heard of it."""

    begun = delivered = False
    held_bytes = 10

    def __init__(self, deliver):
        self._deliver = deliver

    def deliver(self, value):
        self.begun = self.delivered = True
        self._deliver(value)


class Agreement:
    def __init__(self, on_decide, on_settled):
        self._on_decide, self.settle = on_decide, on_settled
        self.input = self.decision = None

    def propose(self, bit):
        if self.input is None and self.decision is None:
            self.input = bit

    def decide(self, bit):
        self.decision = bit
        self._on_decide(bit)


class Bench:
    def __init__(self, nodes):
        self.quorums = Quorums(nodes, BYZANTINE.largest_faults(nodes))
        self.delivered, self.outputs = [], []
        self.subset = CommonSubset(
            self.quorums,
            lambda j, deliver: Broadcast(deliver),
            lambda j, on_decide, on_settled: Agreement(on_decide, on_settled),
            self.delivered.append,
            self.outputs.append,
        )
        self.broadcasts, self.agreements = self.subset.broadcasts, self.subset.agreements

    @property
    def inputs(self):
        return [agreement.input for agreement in self.agreements]


@pytest.mark.parametrize("nodes", SIZES)
def test_a_delivered_broadcast_is_input_1(nodes):
    """And nothing else is any input: N-f deliveries do not make this node vote against the rest."""
    bench = Bench(nodes)
    for j in range(bench.quorums.quorum):
        bench.broadcasts[j].deliver(b"%d" % j)
    assert bench.inputs == [1] * bench.quorums.quorum + [None] * bench.quorums.faults
    assert bench.delivered == list(range(1, bench.quorums.quorum + 1))


@pytest.mark.parametrize("nodes", SIZES)
def test_n_minus_f_accepted_proposals_are_zeros_for_those_that_nobody_has_begun(nodes):
    bench = Bench(nodes)
    *others, last = range(bench.quorums.quorum)
    for j in others:
        bench.agreements[j].decide(1)
    bench.broadcasts[-1].begun = True
    assert set(bench.inputs) == {None}
    bench.agreements[last].decide(1)
    rest = bench.inputs[bench.quorums.quorum :]
    assert rest == [0] * (bench.quorums.faults - 1) + [None], "the last one is only a moment behind"


@pytest.mark.parametrize("nodes", SIZES)
def test_n_minus_f_settled_agreements_are_zeros_for_all_others(nodes):
    """Those that settled on 0 do not count: they leave no room in the subset, but fill none of it either."""
    bench = Bench(nodes)
    for broadcast in bench.broadcasts:
        broadcast.begun = True
    bench.agreements[-1].decide(0)
    bench.agreements[-1].settle()
    for j in range(bench.quorums.quorum):
        assert bench.inputs[bench.quorums.quorum :] == [None] * bench.quorums.faults
        bench.agreements[j].decide(1)
        bench.agreements[j].settle()
    assert bench.inputs[bench.quorums.quorum : -1] == [0] * (bench.quorums.faults - 1)
    assert bench.inputs[-1] is None, "decided already"


def test_the_output_waits_for_all_decisions_and_for_the_accepted_values():
    bench = Bench(4)
    for j in (2, 0, 3):
        bench.broadcasts[j].deliver(b"%d" % j)
    for j, bit in ((3, 0), (1, 1), (0, 1)):
        bench.agreements[j].decide(bit)
    assert not bench.outputs, "agreement 2 is open"
    bench.agreements[2].decide(1)
    assert not bench.outputs, "broadcast 1 was accepted, so it will come"
    bench.broadcasts[1].deliver(b"1")
    assert [list(output.items()) for output in bench.outputs] == [[(0, b"0"), (1, b"1"), (2, b"2")]], "and not 3"


def test_what_was_released_is_gone_but_the_agreements():
    bench = Bench(4)
    bench.broadcasts[0].deliver(b"value")
    assert bench.subset.held_bytes == [15, 10, 10, 10]
    bench.subset.release()
    assert not bench.subset.held_bytes and bench.subset.agreements == bench.agreements
