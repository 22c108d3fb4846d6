"""Capture: a file at its clock, the newest frame, gaps, sources that stall, end, change their size or are absent."""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import threading
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from surgseg.files import UserError
from surgseg.live import sources
from surgseg.live.capture import GAP_S, Capture, SourceLost, follow, replay
from surgseg.live.slot import Slot
from surgseg.live.sources import camera_frames, open_live, public_name, stream_frames
from surgseg.video.reader import Frame


class Clock:
    """A clock that tests set."""

    def __init__(self, now: float = 100.0):
        self.now = now

    def __call__(self) -> float:
        return self.now

    def wait(self, capture, until: float) -> None:
        self.now = max(self.now, until)


def image(level: int, size=(8, 12)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


class Reader(list):
    """Frames with the interface of a `VideoReader`."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def film(*seconds: float) -> Reader:
    return Reader(Frame(index, second, image(index), False) for index, second in enumerate(seconds))


def taken(capture: Capture) -> list:
    capture.start()
    found = []
    while not capture.slot.ended:
        if (frame := capture.slot.take(5)) is not None:
            found.append(frame)
    return found


def test_the_newest_item_replaces_the_one_that_waits():
    slot = Slot()
    for item in "abc":
        slot.put(item)
    assert (slot.take(0), slot.take(0), slot.dropped, slot.ended) == ("c", None, 2, False)
    slot.put("d")
    slot.close()
    assert not slot.ended and slot.take() == "d" and slot.ended and slot.take() is None


def test_a_file_is_replayed_at_its_own_times():
    clock = Clock()
    seconds = (0.0, 0.04, 0.5, 0.52)
    frames = taken(Capture(replay(lambda: film(*seconds), wait=clock.wait), waits=True, clock=clock))
    assert [frame.arrived for frame in frames] == pytest.approx([100 + second for second in seconds])
    assert [(frame.index, frame.time_s) for frame in frames] == list(enumerate(seconds))


def test_time_that_decoding_loses_counts_as_latency():
    clock = Clock()

    class Slow(Reader):
        def __iter__(self):
            for frame in super().__iter__():
                clock.now += 0.3  # a frame takes this long, and is due every 0.1 s
                yield frame

    frames = taken(Capture(replay(lambda: Slow(film(0.0, 0.1, 0.2)), wait=clock.wait), waits=True, clock=clock))
    assert [frame.ready - frame.arrived for frame in frames] == pytest.approx([0.0, 0.2, 0.4])


def test_as_fast_as_possible_waits_for_no_clock():
    clock = Clock()
    frames = taken(Capture(replay(lambda: film(0.0, 5.0, 9.0), fast=True), waits=True, clock=clock))
    assert [frame.index for frame in frames] == [0, 1, 2] and clock.now == 100


def test_a_pause_in_a_file_is_no_gap_and_silence_is_one():
    clock = Clock()
    capture = Capture(lambda capture: None, clock=clock)
    capture.put(image(0), clock())
    capture.expect(clock() + 5)
    clock.now += 5 + GAP_S
    assert not capture.has_gap
    clock.now += 0.01
    assert capture.has_gap


def test_a_frame_that_a_decoder_held_back_ends_no_gap():
    clock = Clock()
    capture = Capture(lambda capture: None, clock=clock)
    capture.put(image(0), arrived=clock())
    clock.now += 5
    capture.put(image(1), arrived=clock() - 4.9)
    assert capture.has_gap
    capture.put(image(2), arrived=clock())
    assert not capture.has_gap


def test_counting_starts_when_the_model_is_ready():
    clock = Clock()
    capture = Capture(lambda capture: None, clock=clock)
    for level in range(3):
        capture.put(image(level), clock())
    clock.now += 7
    capture.restart_count()
    capture.put(image(9), clock() + 0.25)
    frame = capture.slot.take(0)
    assert (frame.index, frame.time_s, capture.captured, capture.slot.dropped) == (0, 0.25, 1, 0)


class Opened:
    """A source that gives so many frames at each opening; None: it cannot be opened."""

    def __init__(self, *counts):
        self.counts, self.opened = list(counts), 0

    def __call__(self, capture):
        count = self.counts.pop(0)
        self.opened += 1
        if not self.counts:
            capture.stopping.set()
        for level in range(count or 0):
            yield image(level), capture.clock()
        raise SourceLost("gone" if count else "refused")


def test_a_lost_source_is_opened_again(capsys):
    opened = Opened(2, None, None, 3)
    capture = Capture(follow(opened, "camera 0", reconnect=0.001), clock=Clock())
    taken(capture)
    assert (opened.opened, capture.lost, capture.error) == (4, 1, None)
    assert capsys.readouterr().err.splitlines() == [
        "camera 0: gone; trying again every 0.001 s",
        "camera 0 is back",
    ]


@pytest.mark.parametrize(("counts", "error"), [((None, 1), UserError), ((2, 1), SourceLost)])
def test_a_source_that_was_never_there_or_may_not_return_ends_the_work(counts, error):
    capture = Capture(follow(Opened(*counts), "camera 0", reconnect=0 if counts[0] else 1), clock=Clock())
    taken(capture)
    assert type(capture.error) is error and str(capture.error).startswith("camera 0: ")
    if error is UserError:
        with pytest.raises(UserError, match="camera 0: refused"):
            capture.first(1)


def test_a_source_without_frames_is_named():
    capture = Capture(lambda capture: None)
    capture.start()
    with pytest.raises(UserError, match="no frames: it ended"):
        capture.first(5)
    with pytest.raises(UserError, match="no frames: none came in 0 seconds"):
        Capture(lambda capture: None).first(0)


def test_secrets_of_an_address_are_not_shown():
    assert public_name("RTSP://user:p@ss@10.0.0.5:554/ward?key=7") == "rtsp://10.0.0.5:554"
    assert public_name("udp://0.0.0.0:5000?x=/y") == "udp://0.0.0.0:5000"
    assert public_name("2") == "camera 2" and public_name("film.mp4") == "film.mp4"


class Camera:
    """Stands for `cv2.VideoCapture`: two blue frames, then silence."""

    opened, left = True, 2

    def __init__(self, number):
        self.left, self.asked = type(self).left, {}

    def isOpened(self):
        return self.opened

    def set(self, key, value):
        self.asked[key] = value

    def grab(self):
        self.left -= 1
        return self.left >= 0

    def retrieve(self):
        return True, np.dstack([np.full((4, 6), 255, np.uint8), *[np.zeros((4, 6), np.uint8)] * 2])

    def release(self):
        pass


def test_a_camera_gives_rgb_and_its_end_is_noticed(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    frames = camera_frames(0, (480, 640), Capture(lambda capture: None, clock=Clock(7.0)))
    assert [(tuple(picture[0, 0]), arrived) for picture, arrived in (next(frames), next(frames))] == [
        ((0, 0, 255), 7.0)
    ] * 2
    with pytest.raises(SourceLost, match="no more frames"):
        next(frames)


@pytest.mark.parametrize("number", ["0", str(10**12)])
def test_no_camera_is_one_line(monkeypatch, number):
    if number == "0":
        monkeypatch.setattr(cv2, "VideoCapture", type("Absent", (Camera,), {"opened": False}))
    capture = Capture(open_live(number, None, 2.0))
    capture.start()
    with pytest.raises(UserError, match=f"camera {number}: no such camera"):
        capture.first(5)


def transport_stream(*parts: tuple[int, int, int]) -> bytes:
    """MPEG-TS of parts of (frames, height, width), each a stream that continues the times of the one before."""
    data, start = b"", 0
    for count, height, width in parts:
        target = io.BytesIO()
        with av.open(target, "w", format="mpegts") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "tune": "zerolatency"})
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            for index in range(count):
                picture = av.VideoFrame.from_ndarray(image(60 + index, (height, width)), format="rgb24")
                picture.pts, picture.time_base = start + index, Fraction(1, 25)
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        data, start = data + target.getvalue(), start + count
    return data


@pytest.fixture
def sender():
    """`sender(data, then)`: a server that sends `data` to a client and then stalls or closes. Returns its address."""
    done = threading.Event()
    threads = []

    def send(data: bytes, then: str) -> str:
        listener = socket.create_server(("127.0.0.1", 0))

        def work():
            with listener:
                client, _ = listener.accept()
            with client:
                client.sendall(data)
                if then == "stall":
                    done.wait(20)

        threads.append(threading.Thread(target=work, daemon=True))
        threads[-1].start()
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"

    yield send
    done.set()
    for thread in threads:
        thread.join(5)


def read(address: str, timeout: float = 5.0) -> tuple[list[np.ndarray], str]:
    """The frames of a stream, and why it ended."""
    found = []
    with pytest.raises(SourceLost) as lost:
        for picture, _ in stream_frames(address, Capture(lambda capture: None), timeout):
            found.append(picture)
    return found, str(lost.value)


def test_a_stream_whose_sender_dies_ends(sender):
    frames, reason = read(sender(transport_stream((10, 48, 64)), "close"))
    assert reason == "the stream ended" and len(frames) == 10
    assert {frame.shape for frame in frames} == {(48, 64, 3)}


def test_a_stream_whose_sender_stops_writing_is_noticed(sender):
    frames, reason = read(sender(transport_stream((40, 48, 64)), "stall"), timeout=0.4)
    assert reason == "no data for 0.4 s" and len(frames) >= 30


def test_a_frame_from_before_a_pause_is_not_taken_for_a_new_one(sender, monkeypatch):
    monkeypatch.setattr(sources, "GAP_S", 0.2)
    capture = Capture(lambda capture: None)
    found = stream_frames(sender(transport_stream((40, 48, 64)), "stall"), capture, 0.4)
    arrivals = []
    with pytest.raises(SourceLost):
        arrivals += (arrived for _, arrived in found)
    assert len(arrivals) == 40 and capture.clock() - max(arrivals) > 0.3


def test_a_stream_may_change_its_size(sender):
    frames, _ = read(sender(transport_stream((10, 48, 64), (10, 96, 80)), "close"))
    sizes = [frame.shape[:2] for frame in frames]
    assert sizes[0] == (48, 64) and sizes[-1] == (96, 80) and set(sizes) == {(48, 64), (96, 80)}


@pytest.mark.parametrize("data", [b"", b"no video at all" * 200])
def test_a_stream_without_video_is_an_error_not_a_traceback(sender, data):
    frames, reason = read(sender(data, "close"), timeout=3)
    assert frames == [] and reason


def test_an_address_where_nobody_sends():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    frames, reason = read(f"tcp://127.0.0.1:{port}")  # the system's words
    assert frames == [] and reason
    assert read("nothing://here")[1] == "Protocol not found"


def test_udp_of_a_process_that_is_killed():
    if (ffmpeg := shutil.which("ffmpeg")) is None:
        pytest.skip("needs the program ffmpeg")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        address = f"udp://127.0.0.1:{free.getsockname()[1]}"
    command = f"{ffmpeg} -loglevel error -re -f lavfi -i testsrc=size=64x48:rate=25 -c:v libx264 -tune zerolatency"
    command += f" -g 5 -pix_fmt yuv420p -f mpegts {address}?pkt_size=1316"
    process = subprocess.Popen(command.split(), stdin=subprocess.DEVNULL)
    frames = stream_frames(address, Capture(lambda capture: None), timeout=2)
    try:
        assert next(frames)[0].shape == (48, 64, 3)
        process.kill()
        with pytest.raises(SourceLost, match="no data for 2 s"):
            for _ in frames:
                pass
    finally:
        process.kill()
        process.wait(10)
