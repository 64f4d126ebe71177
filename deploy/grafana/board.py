"""What the dashboards have in common: variables, tags and links.

Variables and the tag `vllm` are those of vLLM's own dashboards, so that these link to ours, and ours to them, with the
servers chosen.
"""

from collections.abc import Mapping, Sequence
from itertools import count

from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
    Row,
    TextBoxVariable,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.panels import DATASOURCE

TAG = "gprune"
VLLM_TAG = "vllm"
SERVED = 'namespace=~"$namespace", job=~"$job"'
VARIABLES = {
    "namespace": ("Namespace", "label_values(gprune_info, namespace)"),
    "job": ("Job", 'label_values(gprune_info{namespace=~"$namespace"}, job)'),
    "model_name": ("Model", f"label_values(gprune_info{{{SERVED}}}, model_name)"),
    "instance": ("Instance", f'label_values(gprune_info{{{SERVED}, model_name=~"$model_name"}}, instance)'),
}

Rows = Mapping[str, Sequence[Builder[models.Panel]]]


def board(
    uid: str, title: str, description: str, rows: Rows, inputs: Sequence[TextBoxVariable] = ()
) -> models.Dashboard:
    """A dashboard of `rows`, panels by the title of their row, with `inputs` for whoever looks at it to fill in."""
    builder = Dashboard(title).uid(uid).description(description).tags([VLLM_TAG, TAG])
    builder.refresh("30s").time("now-1h", "now").timezone("browser").tooltip(models.DashboardCursorSync.CROSSHAIR)
    builder.link(_link("Pruning", TAG)).link(_link("vLLM", VLLM_TAG).as_dropdown(True))
    builder.with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
    for name, (label, query) in VARIABLES.items():
        builder.with_variable(_variable(name, label, query))
    for text_box in inputs:
        builder.with_variable(text_box)
    for row, panels in rows.items():
        builder.with_row(Row(row))
        for panel in panels:
            builder.with_panel(panel)
    return _numbered(builder.build())


def _link(title: str, tag: str) -> DashboardLink:
    link = DashboardLink(title).type(models.DashboardLinkType.DASHBOARDS).tags([tag])
    return link.include_vars(True).keep_time(True)


def _variable(name: str, label: str, query: str) -> QueryVariable:
    """Several servers can be chosen; at first all are, those without a namespace among them."""
    variable = QueryVariable(name).label(label).query(query).datasource(DATASOURCE).multi(True).include_all(True)
    if name == "namespace":
        variable.all_value(".*")
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    return variable.current(models.VariableOption(text=["All"], value=["$__all"], selected=True))


def _numbered(model: models.Dashboard) -> models.Dashboard:
    for panel, number in zip(model.panels or (), count(1), strict=False):
        panel.id_val = number
    return model
