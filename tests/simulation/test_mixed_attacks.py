"""Property tests: any mix of at most f faulty strategies, any order, any seed; all invariants hold, and progress."""

import pytest
from byzantine.agreement import (
    COIN_SHARE_KINDS,
    BadCoinShares,
    Contradictor,
    FarVoter,
    NoVoter,
    OtherChain,
    TermSpam,
)
from byzantine.broadcast import SPOILERS, EchoReplay, Equivocator, NonCodeword, Spoiler, TwoRoots, WrongIndex
from byzantine.harness import attacked, parameters, rushing, starve_some
from byzantine.proposals import (
    PLAINTEXTS,
    BadDecryptionShares,
    Copier,
    EarlyShares,
    FrontRunner,
    GarbageProposal,
    Replayer,
    WrongShareSet,
)
from byzantine.puppet import Puppet, Silent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from honeybadger.protocols.messages import Echo, Val
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.schedulers import delayed, fifo, lifo, shuffled, starve

behaviours = st.one_of(
    st.sampled_from([Silent, Puppet, EchoReplay, Equivocator, WrongIndex, NoVoter, FarVoter, OtherChain]),
    st.sampled_from([EarlyShares, FrontRunner, Replayer, TwoRoots, NonCodeword]),
    st.sampled_from(COIN_SHARE_KINDS).map(lambda kind: lambda: BadCoinShares(kind)),
    st.sampled_from(sorted(SPOILERS)).map(lambda kind: lambda: Spoiler(kind, Val)),
    st.sampled_from(sorted(SPOILERS)).map(lambda kind: lambda: Spoiler(kind, Echo)),
    st.sampled_from(sorted(PLAINTEXTS)).map(lambda kind: lambda: GarbageProposal(kind)),
    st.sampled_from(WrongShareSet.KINDS).map(lambda kind: lambda: WrongShareSet(kind)),
    st.sampled_from([True, False]).map(lambda split: lambda: Contradictor(split)),
    st.sampled_from([True, False, None]).map(lambda value: lambda: TermSpam(value)),
    st.sampled_from([0, 1]).map(lambda later: lambda: Copier(0, later)),
    st.just(lambda: BadDecryptionShares("other node")),
    st.just(lambda: BadDecryptionShares()),
)
ORDERS = ("fifo", "lifo", "shuffled", "delayed", "starve", "rushing", "starve some")


def order(name, nodes, faulty):
    return {
        "fifo": fifo,
        "lifo": lifo,
        "shuffled": shuffled,
        "delayed": delayed(3_000),
        "starve": starve([0], patience=3_000),
        "rushing": rushing(faulty),
        "starve some": starve_some(nodes, faulty),
    }[name]


def any_mix(sizes, data):
    nodes = data.draw(st.sampled_from(sizes), label="nodes")
    f = Quorums.largest_faults(nodes)
    faulty = sorted(data.draw(st.sets(st.integers(0, nodes - 1), min_size=1, max_size=f), label="faulty"))
    makers = {me: data.draw(behaviours, label=f"behaviour of {me}") for me in faulty}
    name = data.draw(st.sampled_from(ORDERS), label="order")
    changes = {
        "coin_schedule": data.draw(st.sampled_from(["every-round", "fixed-fixed-coin"]), label="coins"),
        "encryption": data.draw(st.sampled_from(["always", "always", "every:2", "never"]), label="encryption"),
        "pipeline_depth": data.draw(st.integers(1, 3), label="depth"),
    }
    attacked(
        nodes,
        lambda me: makers[me](),
        data.draw(st.integers(0, 10**6), label="seed"),
        scheduler=order(name, nodes, faulty),
        starved=name in ("starve", "starve some"),
        faulty=faulty,
        epochs=2,
        settings=parameters(nodes, **changes),
    )


common = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=20, **common)
@given(st.data())
def test_any_mix(data):
    any_mix([4, 4, 5, 6, 7], data)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(max_examples=600, **common)
@given(st.data())
def test_any_mix_for_long(data):
    any_mix([4, 5, 6, 7, 8, 9, 10], data)
