"""A protocol object on a bench: what it sends is collected, and what others say is up to the test."""


class Driven:
    """Outbox and timers of node `me`, whose `protocol` a subclass builds. `sent`: (recipient or None for all, message);
    own messages are looped back at once. Timers do not run by themselves (`expire`)."""

    def begin(self):
        """Nothing was said yet."""
        self.sent, self.faults, self.timers, self._queue = [], [], {}, []

    def end_of_tick(self):
        """All is handled; a subclass may have something to do then."""

    # -- Outbox and Timers

    def broadcast(self, message):
        self.sent.append((None, message))
        self._queue.append(message)

    def send(self, node, message):
        if node == self.me:
            self._queue.append(message)
        else:
            self.sent.append((node, message))

    def fault(self, node, kind, detail):
        self.faults.append((node, kind))

    def set(self, name, delay_s):
        self.timers[name] = delay_s

    def cancel(self, name):
        self.timers.pop(name, None)

    # -- driving

    def hear(self, sender, *messages):
        for message in messages:
            self.protocol.handle(sender, message)
            self._loop()

    def poke(self):
        self.protocol.poke()
        self._loop()

    def submit(self, *transactions):
        self.application.submit(list(transactions))
        self.poke()

    def expire(self, name):
        del self.timers[name]
        self.protocol.timeout(name)
        self._loop()

    def _loop(self):
        while self._queue:
            self.protocol.handle(self.me, self._queue.pop(0))
        self.end_of_tick()
