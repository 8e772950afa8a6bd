"""A faulty node's protocol object: an honest one in the hands of an adversary."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from honeybadger.adversary.base import Adversary
from honeybadger.adversary.outbox import CountingOutbox, FilteredOutbox
from honeybadger.adversary.strategy_class import own_files, place_of, place_of_code
from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.protocols.wire import Message


class StrategyError(Exception):
    """The code of a strategy failed, so its node cannot go on; one line for people, with file and line."""


class CorruptProtocol:
    """A `ConsensusProtocol`: an honest object (from `build`) that speaks through an adversary.

    `make(context)` builds the adversary, which sends through `context.outbox` what it likes. Everything else that
    the node says, about blocks for instance, should go through `outbox`, so that the adversary can change it too.
    `clock()`: seconds, never going back. All of it raises StrategyError if the adversary fails.
    """

    def __init__(
        self,
        context: Context,
        build: Callable[[Context], ConsensusProtocol],
        make: Callable[[Context], Adversary],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._failure: StrategyError | None = None
        self._files: set[str] = set()
        self._me = context.me
        self._changed = self._honest_messages = 0
        self._own = CountingOutbox(context.outbox, context.me, context.quorums.nodes)
        with self._blamed():
            self.adversary = make(replace(context, outbox=self._own))
        self._files = own_files(type(self.adversary))
        self.outbox = FilteredOutbox(context.outbox, context.quorums.nodes, self._change)
        self._honest = self.adversary.honest = build(replace(context, outbox=self.outbox))

    def __getattr__(self, name: str) -> Any:
        """All that is not changed here is the honest object's."""
        return getattr(self._honest, name)

    def handle(self, sender: int, message: Message) -> None:
        with self._blamed():
            self.adversary.witness(sender, message)
        self._honest.handle(sender, message)

    def poke(self) -> None:
        if self._failure is not None:
            # It was raised where nobody could stop the node for it: a message about a block leaves on gevent's hub.
            raise self._failure
        with self._blamed():
            self.adversary.tick(self._clock())
        self._honest.poke()

    def status(self) -> dict[str, Any]:
        return {**self._honest.status(), "adversary": type(self.adversary).__name__}

    @property
    def lies(self) -> dict[str, int]:
        """Messages to other nodes: how many the honest object sent, how many of them were changed, replaced or left
        out, and how many more the adversary sent."""
        return {
            "changed_messages": self._changed,
            "honest_messages": self._honest_messages,
            "extra_messages": self._own.sent,
        }

    def _change(self, recipient: int, message: Message) -> Sequence[Message]:
        with self._blamed():
            changed = self.adversary.change(recipient, message)
            messages = list(changed) if isinstance(changed, Iterable) else [None]
        if not all(isinstance(each, Message) for each in messages):
            strategy = type(self.adversary)
            hook = strategy.change if strategy.lie is Adversary.lie else strategy.lie
            what = f"{hook.__name__} returned {_kind(changed)}"
            if isinstance(changed, Iterable) and not isinstance(changed, str | bytes):
                what += f" with {_kind(next(each for each in messages if not isinstance(each, Message)))} in it"
            for_what = f"for {type(message).__name__}{place_of_code(hook)}"
            self._failure = StrategyError(f"{what}, not a list of messages, {for_what}")
            raise self._failure
        if recipient != self._me:
            self._honest_messages += 1
            self._changed += messages != [message]
        return messages

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        """Around the code of the strategy."""
        try:
            yield
        except Exception as error:
            self._failure = StrategyError(f"{type(error).__name__}: {error}{place_of(error, self._files)}")
            raise self._failure from error


def _kind(value: object) -> str:
    """As "a Val" or "None"."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"
