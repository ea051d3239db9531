"""The dashboard for Grafana asks for metrics that there are, and shows all of them."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from support.checkout import CHECKOUT
from support.helpers import start_nothing
from support.requests import REQUEST, ctx, hello

from tlctx import ContextMiddleware, metrics
from tlctx.metrics._requests import DESCRIBED

prometheus_client = pytest.importorskip("prometheus_client", reason="needs prometheus_client")

DASHBOARD: dict[str, Any] = json.loads((CHECKOUT / "docs" / "grafana.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
ADDED_BY_PROMETHEUS = {"job", "instance"}

each_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """What a scrape finds: the labels of each sample, by its name."""
    registry = prometheus_client.CollectorRegistry()
    made = metrics.prometheus(registry)
    ContextMiddleware(hello, ctx)(dict(REQUEST), start_nothing)
    found = {sample.name: set(sample.labels) for metric in registry.collect() for sample in metric.samples}
    made.close()
    return found


def queries() -> list[str]:
    asked = [target["expr"] for panel in PANELS for target in panel["targets"]]
    return asked + [variable["query"]["query"] for variable in VARIABLES.values() if variable["type"] == "query"]


def names_in(query: str) -> list[str]:
    return re.findall(r"\btlctx_\w+", query)


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_metrics_and_labels_that_there_are(query: str, exported: dict[str, set[str]]) -> None:
    names = names_in(query)
    assert names
    assert set(names) <= set(exported)
    labels = set(re.findall(r"(\w+)(?:=~|!=|=)\"", query)).union(
        *(re.split(r",\s*", group) for group in re.findall(r"\bby \(([^)]+)\)", query)),
        re.findall(r"label_values\(.+, (\w+)\)", query),
    )
    assert labels <= ADDED_BY_PROMETHEUS.union(*(exported[name] for name in names))
    assert [query.count(mark) for mark in "({["] == [query.count(mark) for mark in ")}]"]


def test_no_metric_is_left_out_and_counters_are_asked_for_their_growth() -> None:
    asked = " ".join(queries())
    for name in DESCRIBED:
        assert name.replace(".", "_") in asked
    grown = re.findall(r"(?:rate|increase)\((tlctx_\w+)", asked)
    counted = [name for name in names_in(asked) if name.endswith(("_total", "_bucket", "_sum", "_count"))]
    assert len(counted) - asked.count("label_values(") == len(grown)


@pytest.mark.parametrize("outcome", re.findall(r'outcome!?="(\w+)"', " ".join(queries())))
def test_an_outcome_that_is_asked_for_is_one_that_there_is(outcome: str) -> None:
    assert outcome in ("ok", "error", "aborted")


@each_panel
def test_a_panel_uses_the_chosen_data_source_and_instances_and_names_what_it_shows(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert 'job=~"$job", instance=~"$instance"' in target["expr"]
        assert set(re.findall(r"\$(\w+)", target["expr"])) <= {*VARIABLES, "__rate_interval", "__range"}
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= {"method", "route", "outcome", "le"}
    assert panel["fieldConfig"]["defaults"]["unit"] in ("short", "reqps", "s", "percentunit")


def test_the_panels_lie_side_by_side_and_fill_the_rows() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = set(
            itertools.product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"]))
        )
        assert not cells & taken
        taken |= cells
    height = max(y for _, y in taken) + 1
    assert taken == set(itertools.product(range(24), range(height)))
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
