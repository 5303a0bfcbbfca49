"""What a container may use, from files as Linux writes them."""

import os

import pytest

from explorer.engine.hardware import device
from explorer.engine.hardware.container_limits import processors
from tests.engine.hardware.linux_tree import write_groups


def test_without_a_group_there_is_no_limit(tmp_path):
    assert processors(tmp_path) is None


def test_the_tightest_group_counts(tmp_path):
    files = {
        "cpu_DOT_max": "max 100000\n",
        "a__cpu_DOT_max": "250000 100000\n",
        "a__b__cpu_DOT_max": "400000 100000\n",
    }
    assert processors(write_groups(tmp_path, "0::/a/b\n", **files)) == 2.5


@pytest.mark.parametrize(("quota", "granted"), [("150000", 1.5), ("-1", None), ("nonsense", None)])
def test_groups_of_the_first_version(tmp_path, quota, granted):
    files = {"cpu__a__cpu_DOT_cfs_quota_us": quota, "cpu__a__cpu_DOT_cfs_period_us": "100000\n"}
    groups = "9:memory:/x\n5:cpu,cpuacct:/a\n0::/\n"
    assert processors(write_groups(tmp_path, groups, **files)) == granted


@pytest.mark.parametrize(
    ("granted", "cores"), [(None, 6), (0.5, 1), (2.0, 2), (2.1, 3), (6.0, 6), (64.0, 6)]
)
def test_no_more_threads_than_there_is_time_for(tmp_path, granted, cores):
    assert device.physical_cores(range(6), tmp_path, granted) == cores


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux only")
def test_the_limit_of_this_process_is_asked_for(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(1000, 1008)))
    monkeypatch.setattr(device.container_limits, "processors", lambda: 2.5)
    assert device.physical_cores() == 3
    monkeypatch.setattr(device.container_limits, "processors", lambda: None)
    assert device.physical_cores() == 8
