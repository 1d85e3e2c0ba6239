import { theme } from "antd";
import { BarChart, GraphChart, LineChart, ScatterChart } from "echarts/charts";
import { GridComponent, LegendComponent, TooltipComponent } from "echarts/components";
import { init, use, type ECharts, type EChartsCoreOption } from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { useEffect, useMemo, useRef } from "react";

use([BarChart, GraphChart, LineChart, ScatterChart, GridComponent, LegendComponent, TooltipComponent, CanvasRenderer]);

export type ChartProps = {
  /** What a reader who can't see it is told. */
  label: string;
  height: number | string;
  option: EChartsCoreOption;
  onClick?: (data: unknown) => void;
};

export default function EChart({ label, height, option, onClick }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const chart = useRef<ECharts | null>(null);
  const click = useRef(onClick);
  const { token } = theme.useToken();
  click.current = onClick;

  const dressed = useMemo(
    () => ({
      animationDuration: 250,
      textStyle: { fontFamily: token.fontFamily, color: token.colorTextSecondary },
      ...option,
      tooltip: {
        // As text on the canvas: no markup, and nothing for a content security policy to refuse.
        renderMode: "richText",
        backgroundColor: token.colorBgElevated,
        borderColor: token.colorBorder,
        textStyle: { color: token.colorText, fontSize: 12, fontFamily: token.fontFamily },
        ...(option["tooltip"] as object),
      },
    }),
    [option, token],
  );

  useEffect(() => {
    if (!place.current) return undefined;
    const made = init(place.current);
    chart.current = made;
    made.on("click", (event) => click.current?.(event.data));
    const watch = new ResizeObserver(() => made.resize());
    watch.observe(place.current);
    return () => {
      watch.disconnect();
      made.dispose();
      chart.current = null;
    };
  }, []);

  useEffect(() => {
    chart.current?.setOption(dressed, { notMerge: true, lazyUpdate: true });
  }, [dressed]);

  return <div ref={place} role="img" aria-label={label} style={{ height, width: "100%" }} />;
}
