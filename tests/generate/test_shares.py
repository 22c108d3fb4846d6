"""How videos are shared out between processes."""

from __future__ import annotations

import pytest

from surgseg.files import UserError
from surgseg.generate.shares import parse_share, share_out


@pytest.mark.parametrize("count", [1, 2, 3, 5, 20])
def test_every_video_has_one_process_and_the_loads_are_even(count):
    sizes = [500, 100, 300, 100, 200, 400, 100, 300, 0, 50]
    owners = share_out(sizes, count)
    assert len(owners) == len(sizes) and set(owners) <= set(range(count))
    loads = [sum(size for size, owner in zip(sizes, owners) if owner == process) for process in range(count)]
    assert max(loads) - min(loads) <= max(sizes)
    assert owners == share_out(sizes, count)


def test_shares_count_from_one():
    assert parse_share("1/3") == (0, 3)
    assert parse_share("3/3") == (2, 3)


@pytest.mark.parametrize("share", ["", "0/3", "4/3", "3", "a/b", "1/0", "-1/2", "1/2/3", "1.5/2", "auto"])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UserError, match="--share"):
        parse_share(share)


def test_the_largest_come_first_by_hand():
    assert share_out([10, 70, 40, 30], 2) == [0, 0, 1, 1]  # 70 | 40 + 30, then 10 to the first of equals
