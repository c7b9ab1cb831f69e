"""Throughput is operations over time."""

from lossmap.network import throughput

NETWORK = {
    "factory": "lossmap.network.models.resnet:resnet20",
    "width": 0.125,
    "classes": 10,
    "channels": 1,
    "seed": 0,
}


def test_rates_are_operations_over_seconds(monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(throughput, "count_forward_macs", lambda module, shape: 50.0)
    found = throughput.measure_throughput(NETWORK, 4, "cpu", seconds=0.0)
    seconds_per_call = 2.0 / 2  # a tick at the start, one at the check, one at the end; two calls
    assert found["evaluation"] == 2 * 4 * 50.0 / seconds_per_call
    assert found["training"] == 3 * found["evaluation"]
