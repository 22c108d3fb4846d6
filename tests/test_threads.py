"""Work ahead: order, distance, errors."""

from concurrent.futures import ThreadPoolExecutor

from surgseg.threads import ahead


def test_reading_ahead_keeps_order_and_its_distance():
    started = []
    with ThreadPoolExecutor(2) as pool:
        for taken, value in enumerate(ahead(pool, lambda i: started.append(i) or i * i, range(50), 4)):
            assert value == taken**2 and len(started) <= taken + 6
    assert sorted(started) == list(range(50))
