"""Views of all runs that MLflow's pages open with: a table of scores and choices, and charts with the scores first.

A view is a tag of the experiment, of the format that the pages' own button "share" writes (seen in MLflow 3.17): JSON
that holds the state of the page, deflated. A server whose pages do not know it shows them as it always does.
"""

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from mtl_seg_depth.scoring.headline import MARGIN, shown
from mtl_seg_depth.tracking.names import best_metrics, metric_name

PANELS = "panels/validation images"
"""What images of the validation split are logged as."""

_TAG = "mlflow.sharedViewState."
_CHOICES = ("data", "model", "encoder", "dilation", "depth_norm", "loss", "task_weights", "optimizer", "lr.value")
_COSTS = ("cost/seconds", "cost/parameters")
_CLOSED = (
    *("best", "cost", "train", "val/iou", "val/depth_errors", "sweep/trial", "sweep/best"),
    *("Model metrics", "System metrics"),
)
_WRITTEN = 1_764_000_000_000  # ms since 1970; any, and always the same, so that a view is the same tag
SCORES, CURVES = "scores", "curves"


def view_tags() -> dict[str, str]:
    """The tags of an experiment that are its views."""
    scores = [f"val/{each.key}" for each in shown()]
    curves = [str(metric_name(name, of_sweep=False)) for name in (*scores[1:], scores[0])]
    best = [name for name in best_metrics(dict.fromkeys(scores, 0.0), 0) if name != "best/step"]
    best.sort(key=f"best/{MARGIN.key}".__eq__)  # last
    columns = [
        *(f"metrics.`{name}`" for name in (*best, *_COSTS)),
        *(f"params.`{name}`" for name in _CHOICES),
        *("tags.`status`", "tags.`folder`"),
    ]
    state = {"selectedColumns": columns, "runsPinned": [], "isAccordionReordered": True, **_charts(curves)}
    return {
        f"{_TAG}{SCORES}": _packed("Scores and choices", state),
        f"{_TAG}{CURVES}": _packed("Curves", state),
    }


def view_address(experiment: str, view: str) -> str:
    """Where a view of an experiment is on its server, given the experiment's id."""
    query = {"workflowType": "machine_learning", "viewStateShareKey": view}
    if view == CURVES:
        query["compareRunsMode"] = "CHART"
    return f"#/experiments/{experiment}/runs?{urlencode(query)}"


def _charts(curves: Sequence[str]) -> dict[str, Any]:
    """The sections of the charts' page, those worth looking at first; whatever else was logged is added by the page."""
    opened = {"val": True, PANELS.rpartition("/")[0]: True, "train/loss": True}
    sections = [
        {"uuid": name, "name": name, "display": display, "isReordered": False, "deleted": False, "isGenerated": True}
        for name, display in (opened | dict.fromkeys(_CLOSED, False)).items()
    ]
    cards = [
        {
            "uuid": name,
            "type": "LINE",
            "metricSectionId": "val",
            "metricKey": name,
            "displayName": name.rpartition("/")[2],
            "isGenerated": True,
            "deleted": False,
            "runsCountToCompare": 10,
            "lineSmoothness": 0,
            "scaleType": "linear",
            "xAxisScaleType": "linear",
            "xAxisKey": "step",
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "range": {},
            "ignoreOutliers": False,
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }
        for name in curves
    ]
    return {"compareRunCharts": cards, "compareRunSections": sections}


def _packed(name: str, state: dict[str, Any]) -> str:
    deflated = base64.b64encode(zlib.compress(json.dumps(state).encode())).decode()
    view = {"name": name, "createdAt": _WRITTEN, "updatedAt": _WRITTEN, "state": f"deflate;{deflated}"}
    return json.dumps(view)
