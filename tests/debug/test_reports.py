"""What /debug/status, /debug/metrics and /metrics report."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from lmgateway.simulator.engine.switches import Switches
from tests.debug.conftest import LLM
from tests.support.home import Home
from tests.support.upstream import ScriptedUpstream

CHAT = "/v1/chat/completions"


async def test_failed_load_is_the_state_until_the_next(home: Home) -> None:
    """A model's failure stays visible until the next operation; a client's mistake isn't shown."""
    home.studio.simulator.switches = Switches(auto_fit=False)
    await home.post("load", modelKey="no such model")
    assert (await home.get("/debug/status"))[1]["status"] == "idle"
    await home.post("load", modelKey=LLM, another=True, loadConfig={"contextLength": 10_000_000})
    assert (await home.get("/debug/status"))[1]["status"] == "error"
    await home.post("load", modelKey=LLM, another=True)
    assert (await home.get("/debug/status"))[1]["status"] == "idle"


async def test_failed_model_operation_is_counted_once(home: Home) -> None:
    """In totalErrors of both reports, unlike a client's mistake; the error rate is 100 % at most."""
    home.studio.simulator.switches = Switches(auto_fit=False)
    await home.post("load", modelKey="no such model")
    counted = [(await home.get("/debug/status"))[1]["totalErrors"]]
    await home.post("load", modelKey=LLM, another=True, loadConfig={"contextLength": 10_000_000})
    _, status = await home.get("/debug/status")
    _, metrics = await home.get("/debug/metrics")
    counted += [status["totalErrors"], metrics["performance"]["totalErrors"]]
    assert counted == [0, 1, 1]
    assert (status["totalRequests"], metrics["performance"]["totalRequests"]) == (0, 0)
    # One failure among four operations: two models were activated before.
    assert metrics["performance"]["errorRate"] == 25.0


async def test_metrics_have_every_field(home: Home) -> None:
    """Dashboards for the older gateways depend on these."""
    async with home.gateway.client.post(
        home.gateway.url(CHAT), json={"messages": [{"role": "user", "content": "x"}]}
    ):
        pass
    _, report = await home.get("/debug/metrics")
    assert report.keys() == {"modelInfo", "performance", "recentActivity", "system", "currentOperation"}
    assert report["performance"].keys() == {
        *("totalRequests", "totalErrors", "errorRate", "recentRequestCount", "completedRequestCount"),
        *("avgResponseTimeMs", "minResponseTimeMs", "maxResponseTimeMs", "medianResponseTimeMs"),
        *("avgTokensPerSec", "totalTokensProcessed", "requestsWithTokenData", "tokenStats"),
    }
    system = {"uptime", "uptimeFormatted", "memoryUsage", "platform", "pythonVersion"}
    assert report["system"].keys() == system
    assert report["system"]["memoryUsage"]["rss"] > 10
    assert len(report["recentActivity"]["last10Requests"]) == 1
    assert report["modelInfo"]["modelKey"] == LLM


async def test_prometheus_labels_are_bounded(scripted: Home, upstream: ScriptedUpstream) -> None:
    """Model names and paths that clients invent don't create ever more time series."""
    for number in range(80):
        body = {"model": f"invented-{number}", "x": "y"}
        async with scripted.gateway.client.post(scripted.gateway.url(CHAT), json=body):
            pass
        async with scripted.gateway.client.get(scripted.gateway.url(f"/v1/{number}")):
            pass
    async with scripted.gateway.client.get(scripted.gateway.url("/metrics")) as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    requests = [sample for sample in families["lmgateway_requests"].samples if sample.name.endswith("_total")]
    assert sum(sample.value for sample in requests) == 160
    assert {sample.labels["route"] for sample in requests} == {CHAT, "other"}
    assert {sample.labels["model"] for sample in requests} == {"", "other"}
    assert families["lmgateway_in_flight"].samples[0].value == 0
    assert families["lmgateway_upstream_reachable"].samples[0].value == 1
    others = "request_seconds time_to_first_token_seconds tokens_per_second aborted model_operations tokens"
    others += " reasoning_tokens event_loop_lag_seconds event_subscribers events_lost build_info"
    assert {f"lmgateway_{name}" for name in others.split()} <= families.keys()
