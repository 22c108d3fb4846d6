"""Turn interlaced frames into progressive ones with FFmpeg's bwdif filter."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import av


class Deinterlacer:
    """Return one picture for each picture, in order; progressive pictures are unchanged.

    Items are tuples whose first element is the `av.VideoFrame`; the other elements are kept. The filter needs the next
    picture, so call `flush` at the end. A change of size or pixel format restarts the filter.
    """

    def __init__(self):
        self._graph = None
        self._shape: tuple | None = None
        self._waiting: deque[tuple] = deque()

    def push(self, item: tuple) -> Iterator[tuple]:
        picture = item[0]
        shape = (picture.width, picture.height, picture.format.name)
        if shape != self._shape:
            yield from self.flush()
            self._build(picture, shape)
        self._waiting.append(item)
        self._graph.push(picture)
        yield from self._ready()

    def flush(self) -> Iterator[tuple]:
        if self._graph is not None:
            self._graph.push(None)
            yield from self._ready()
        self._graph = self._shape = None

    def _build(self, picture: av.VideoFrame, shape: tuple) -> None:
        graph = av.filter.Graph()
        width, height, name = shape
        source = graph.add_buffer(width=width, height=height, format=name, time_base=picture.time_base)
        filter_ = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
        source.link_to(filter_)
        filter_.link_to(graph.add("buffersink"))
        graph.configure()
        self._graph, self._shape = graph, shape

    def _ready(self) -> Iterator[tuple]:
        while self._waiting:
            try:
                picture = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            yield (picture, *self._waiting.popleft()[1:])
