"""FFmpeg's messages stay off: its threads would need the interpreter to log, and can wait for it for ever."""

import av

from surgseg.video.reader import VideoReader
from tests.films import write_film


def test_opening_a_video_turns_off_what_a_library_turned_on(tmp_path):
    path = write_film(tmp_path / "film.mp4", 3)
    av.logging.set_level(av.logging.ERROR)
    with VideoReader(path) as reader:
        list(reader)
    assert av.logging.get_level() is None
