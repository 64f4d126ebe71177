"""The kinds of panels the dashboards are made of."""

from typing import TypeVar

from grafana_foundation_sdk.builders import common, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    DataSourceRef,
    DataTransformerConfig,
    FieldColorModeId,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = DataSourceRef("prometheus", "${datasource}")
TOKENS_PER_SECOND = "count:tok/s"
TOKENS = "count:tok"
OPERATIONS = "si:FLOP"

AnyPanel = TypeVar("AnyPanel", timeseries.Panel, stat.Panel, heatmap.Panel, table.Panel)


def lines(
    title: str, description: str, unit: str, queries: dict[str, str], width: int = 12, stacked: bool = False
) -> timeseries.Panel:
    """Lines over time; `queries` are expressions by their legends."""
    panel = (
        _described(timeseries.Panel(), title, description, unit, width, height=8)
        .min(0)
        .fill_opacity(30 if stacked else 8)
        .show_points(VisibilityMode.NEVER)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    for number, (legend, expression) in enumerate(queries.items()):
        panel.with_target(_query(expression, number).legend_format(legend))
    return panel


def number(title: str, description: str, unit: str, expression: str, width: int = 4, height: int = 4) -> stat.Panel:
    """One number, as it is at the end of the time shown."""
    panel = _described(stat.Panel(), title, description, unit, width, height).mappings([_no_traffic()])
    panel.graph_mode(BigValueGraphMode.NONE).reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.with_target(_query(expression, 0).instant())


def red_above(bound: float) -> ThresholdsConfig:
    """Colours of a number that is to stay below a bound."""
    return _coloured(Threshold(color="green"), Threshold(bound, "red"))


def red_below(bound: float) -> ThresholdsConfig:
    """Colours of a number that is to reach a bound."""
    return _coloured(Threshold(color="red"), Threshold(bound, "green"))


def density(title: str, description: str, unit: str, expression: str, width: int = 12) -> heatmap.Panel:
    """A histogram over time; the expression is summed by `le`."""
    panel = _described(heatmap.Panel(), title, description, "short", width, height=8)
    panel.y_axis(heatmap.YAxisConfig().unit(unit)).show_value(VisibilityMode.NEVER)
    panel.color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
    return panel.with_target(_query(expression, 0).legend_format("{{le}}").format(PromQueryFormat.HEATMAP))


def listing(title: str, description: str, expression: str, hidden: list[str]) -> table.Panel:
    """The labels of series, a row for each, but for the `hidden` ones."""
    panel = _described(table.Panel(), title, description, "short", width=24, height=6).show_header(True)
    columns = {"excludeByName": dict.fromkeys([*hidden, "Time", "Value", "__name__"], True)}
    panel.with_transformation(DataTransformerConfig(id_val="organize", options=columns))
    return panel.with_target(_query(expression, 0).instant().format(PromQueryFormat.TABLE))


def _coloured(*steps: Threshold) -> ThresholdsConfig:
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps([*steps])


def _described(panel: AnyPanel, title: str, description: str, unit: str, width: int, height: int) -> AnyPanel:
    panel.title(title).description(description).datasource(DATASOURCE)
    return panel.unit(unit).span(width).height(height)


def _query(expression: str, number: int) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(expression).ref_id(chr(ord("A") + number))
    return query.datasource(DATASOURCE)


def _legend() -> common.VizLegendOptions:
    options = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST)
    return options.placement(LegendPlacement.BOTTOM).show_legend(True)


def _no_traffic() -> SpecialValueMap:
    """Says so where there is nothing to divide by, in no colour of an objective."""
    result = ValueMappingResult(text="No traffic", color="text")
    return SpecialValueMap(options=DashboardSpecialValueMapOptions(match=SpecialValueMatch.NA_N, result=result))
