"""The VIEW-CHANGEs that have come: the one of the highest view of each node, all of them checked."""

from __future__ import annotations

from honeybadger.protocols.pbft.certificates import check_view_change
from honeybadger.protocols.pbft.group import Group
from honeybadger.protocols.pbft.messages import ViewChange


class ViewChanges:
    """See the module."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._latest: dict[int, ViewChange] = {}

    def add(self, sender: int, change: ViewChange) -> str:
        """Take one in; returns "" or what is wrong with it. One that is not newer than the last is not looked at."""
        known = self._latest.get(sender)
        if known is not None and change.view <= known.view:
            return "" if change.view < known.view or change == known else "two different ones for one view"
        if sender != self._group.me and (why := check_view_change(self._group, sender, change, known)):
            return why
        self._latest[sender] = change
        return ""

    def of(self, view: int) -> dict[int, ViewChange]:
        """Those for exactly this view, ascending by sender."""
        return {sender: change for sender, change in sorted(self._latest.items()) if change.view == view}

    def wanting(self, view: int) -> int:
        """How many nodes want this view or a higher one: none of them comes back."""
        return sum(change.view >= view for change in self._latest.values())

    def to_join(self, view: int) -> int | None:
        """If f+1 others want views above `view`: the smallest of those. At least one of them is correct."""
        wanted = [c.view for sender, c in self._latest.items() if c.view > view and sender != self._group.me]
        return min(wanted) if len(wanted) >= self._group.weak else None
