"""Fixtures for tests that write video."""

import cv2
import pytest

_AVX_512 = 13  # OpenCV's number for it


@pytest.fixture
def same_bytes_each_time(monkeypatch):
    """H.264 for comparison byte by byte: not every virtual machine keeps AVX-512's state, and x264 uses it."""
    from surgseg.video.writer import VideoWriter

    begin = VideoWriter._open

    def without_avx_512(writer, height, width):
        begin(writer, height, width)
        writer.stream.options = {**writer.stream.options, "x264-params": "asm=avx2"}

    if cv2.checkHardwareSupport(_AVX_512):
        monkeypatch.setattr(VideoWriter, "_open", without_avx_512)
