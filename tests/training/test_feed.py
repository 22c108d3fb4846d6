"""Cache rows on the device: the same ones in the same order, wherever the cache lies."""

import contextlib
import threading

import numpy as np
import pytest
import torch

from surgseg.data.cache import open_cache
from surgseg.data.dataset import load_prepared
from surgseg.files import UserError
from surgseg.labels import SCHEMES
from surgseg.training import feed as module
from surgseg.training.feed import PREFETCHED, Feed

CPU = torch.device("cpu")
BATCHES = [np.array(rows) for rows in ([3, 1, 20], [0], [22, 22, 7, 5], [23, 2])]
PLACES = ("memory-mapped", "in GPU memory", "streamed through pinned memory")


class HostAsGpu(str):
    """The CPU by name, a GPU by type: takes a feed through its GPU branch on any machine."""

    type = "cuda"


@pytest.fixture(scope="module")
def cache(tiny_prepared, tmp_path_factory):
    return open_cache(
        load_prepared(tiny_prepared).samples, (32, 48), SCHEMES["binary"], tmp_path_factory.mktemp("cache")
    )


@pytest.fixture
def make_feed(cache, monkeypatch):
    """A feed of the place in words; what would need a GPU has host memory in its stead."""

    def make(place):
        if place == "streamed through pinned memory":
            monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
            return Feed(cache, HostAsGpu("cpu"), "cpu")
        feed = Feed(cache, CPU)
        if place == "in GPU memory":
            feed.resident = tuple(module._uploaded(array, CPU) for array in (cache.frames, cache.masks))
        return feed

    return make


def check(batches, wanted, cache, device=CPU):
    """Assert that the batches hold the wanted rows of the cache, as `Batch` promises them."""
    assert len(batches) == len(wanted)
    for batch, rows in zip(batches, wanted):
        assert all(tensor.device.type == device.type for tensor in batch)
        assert batch.rows.dtype == torch.int64 and batch.rows.tolist() == rows.tolist()
        assert batch.frames.dtype == batch.masks.dtype == torch.uint8
        assert batch.frames.shape == (len(rows), 3, 32, 48) and batch.masks.shape == (len(rows), 32, 48)
        assert np.array_equal(batch.frames.permute(0, 2, 3, 1).cpu().numpy(), cache.frames[rows])
        assert np.array_equal(batch.masks.cpu().numpy(), cache.masks[rows])


@pytest.mark.parametrize("place", PLACES)
def test_the_rows_asked_for_come_in_order(make_feed, cache, place):
    feed = make_feed(place)
    assert feed.place == place
    check(list(feed.stream(BATCHES)), BATCHES, cache)


@pytest.mark.parametrize("place", PLACES)
def test_a_feed_streams_as_often_as_asked(make_feed, cache, place):
    feed = make_feed(place)
    for batches in (BATCHES, BATCHES[::-1], BATCHES[:1]):
        check(list(feed.stream(batches)), batches, cache)


@pytest.mark.parametrize("place", PLACES)
def test_no_rows_give_no_batch(make_feed, place):
    assert list(make_feed(place).stream([])) == []


@pytest.mark.parametrize("place", PLACES)
def test_a_changed_batch_changes_nothing_in_the_cache(make_feed, cache, place):
    feed = make_feed(place)
    for batch in feed.stream(BATCHES):
        batch.frames.fill_(7)
        batch.masks.fill_(7)
    check(list(feed.stream(BATCHES)), BATCHES, cache)


@pytest.mark.parametrize("rows", [1, 4, 7, 8, 9])
def test_an_array_is_uploaded_whole_whatever_the_size_of_its_parts(rows):
    array = np.random.default_rng(rows).integers(0, 256, (rows, 3, 5), dtype=np.uint8)
    uploaded = module._uploaded(array, CPU, chunk=4)
    assert uploaded.dtype == torch.uint8 and np.array_equal(uploaded.numpy(), array)


@pytest.mark.parametrize("place", ["memory-mapped", "streamed through pinned memory"])
def test_an_error_in_reading_reaches_whoever_reads(make_feed, cache, monkeypatch, place):
    read = Feed._read

    def failing(self, rows):
        if rows[0] == 22:
            raise OSError("the disk is gone")
        return read(self, rows)

    monkeypatch.setattr(Feed, "_read", failing)
    stream = make_feed(place).stream(BATCHES)
    check([next(stream), next(stream)], BATCHES[:2], cache)
    with pytest.raises(OSError, match="the disk is gone"):
        next(stream)


def test_the_reader_keeps_a_few_batches_ahead_and_stops_when_nobody_listens(make_feed, monkeypatch):
    read, reads = Feed._read, []
    monkeypatch.setattr(Feed, "_read", lambda self, rows: reads.append(rows) or read(self, rows))
    threads = threading.active_count()
    with contextlib.closing(make_feed("streamed through pinned memory").stream([np.array([0, 1])] * 40)) as stream:
        for _ in range(3):
            next(stream)
    assert 3 <= len(reads) <= 3 + PREFETCHED
    assert threading.active_count() == threads


def test_a_cpu_reads_in_place_whatever_is_asked_for(cache):
    assert [Feed(cache, CPU, place).place for place in ("auto", "cpu", "cuda")] == ["memory-mapped"] * 3


@pytest.mark.parametrize(("free", "fits"), [(2.0, True), (1.99, False)])
def test_a_cache_takes_at_most_half_of_the_free_memory(cache, monkeypatch, free, fits):
    size = cache.frames.nbytes + cache.masks.nbytes
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(free * size), 99 * size))
    assert module._fits(cache, torch.device("cuda", 0)) == fits


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gets_the_same_batches_from_its_memory_and_from_the_hosts(cache, monkeypatch):
    gpu = torch.device("cuda", 0)
    feeds = [Feed(cache, gpu, "cuda"), Feed(cache, gpu, "cpu"), Feed(cache, gpu, "auto")]
    assert [feed.place for feed in feeds] == [PLACES[1], PLACES[2], PLACES[1]]
    many = BATCHES * 20  # more than wait in pinned memory at a time
    for feed in feeds:
        check(list(feed.stream(many)), many, cache, gpu)
        assert list(feed.stream([])) == []
    check(list(Feed(cache, CPU).stream(many)), many, cache)
    monkeypatch.setattr(module, "MEMORY_SHARE", 0.0)
    assert Feed(cache, gpu, "auto").place == PLACES[2]


def test_an_unknown_place_is_refused_and_never_another(cache):
    with pytest.raises(UserError, match="unknown place of the cache 'disk': use auto, cpu, cuda"):
        Feed(cache, CPU, "disk")
