"""Hand the newest item from one thread to the next."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """Room for a single item. A newer item replaces one that was not taken, which is `dropped`: nothing queues.

    `waits`: `put` waits until the item before was taken, so that nothing is dropped.
    """

    def __init__(self, waits: bool = False):
        self.waits, self.dropped, self.closed = waits, 0, False
        self._items: list[T] = []  # none or one
        self._changed = threading.Condition()

    def put(self, item: T) -> None:
        with self._changed:
            if self.waits:
                self._changed.wait_for(lambda: self.closed or not self._items)
            self.dropped += len(self._items)
            self._items = [item]
            self._changed.notify_all()

    def take(self, timeout: float | None = None) -> T | None:
        """Wait at most `timeout` seconds (None: without limit). None: no item came in time, or none will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self.closed, timeout)
            item = self._items.pop() if self._items else None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """No item follows. The last one can still be taken."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        return self.closed and not self._items
