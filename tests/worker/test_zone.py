"""The zone in which jobs are told when they were due: the machine's, where that has a name."""

import pytest

from kiribi_cli.worker.setup import machine_zone


@pytest.mark.parametrize(
    ("named", "zone"),
    [
        ("Europe/Berlin", "Europe/Berlin"),
        (":Asia/Tokyo", "Asia/Tokyo"),
        ("UTC", "UTC"),
        ("Nowhere/Town", "UTC"),
        ("Europe", "UTC"),
        ("zone.tab", "UTC"),
        ("../zoneinfo/UTC", "UTC"),
        ("/etc/localtime", "UTC"),
        ("CET-1CEST,M3.5.0", "UTC"),
        ("a\udcffb", "UTC"),
    ],
)
def test_only_a_zone_that_exists_counts(monkeypatch, named, zone):
    monkeypatch.setenv("TZ", named)

    assert machine_zone() == zone
