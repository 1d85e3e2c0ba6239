/** One operation, hour by hour, beside itself a day ago. */
import { useQuery } from "@tanstack/react-query";
import { theme } from "antd";
import { useMemo } from "react";

import { api, content } from "../api/client.ts";
import type { Operation } from "../api/types.ts";
import { Chart } from "../components/Chart.tsx";
import { Trouble } from "../components/parts.tsx";
import { clock, duration } from "../format.ts";
import { useText } from "../text/index.ts";
import { colourOf } from "../theme.ts";

export function Compared({ operation: { service, operation } }: { operation: Operation }) {
  const t = useText();
  const { token } = theme.useToken();
  const hours = useQuery({
    queryKey: ["compare", service, operation],
    queryFn: ({ signal }) =>
      content(api.GET("/console/v1/operations/compare", { params: { query: { service, operation } }, signal })),
  });
  const option = useMemo(() => {
    const found = hours.data?.hours ?? [];
    const colour = colourOf(service);
    const line = (name: string, data: (number | null | undefined)[], more: object) => ({
      name,
      type: "line",
      data,
      symbolSize: 5,
      smooth: 0.2,
      ...more,
    });
    const quiet = {
      lineStyle: { color: token.colorTextQuaternary, type: "dashed" },
      itemStyle: { color: token.colorTextQuaternary },
      symbol: "none",
    };
    const rule = { lineStyle: { color: token.colorBorderSecondary } };
    return {
      grid: [
        { left: 66, right: 16, top: 40, height: 230 },
        { left: 66, right: 16, top: 312, height: 80 },
      ],
      legend: { top: 0, textStyle: { color: token.colorTextSecondary } },
      tooltip: {
        trigger: "axis",
        valueFormatter: (value: unknown) => (typeof value === "number" ? duration(value) : "—"),
      },
      axisPointer: { link: [{ xAxisIndex: "all" }] },
      xAxis: [0, 1].map((gridIndex) => ({
        gridIndex,
        type: "category",
        data: found.map((hour) => clock(new Date(hour.at)).slice(0, 5)),
        axisLabel: { show: gridIndex === 1, color: token.colorTextTertiary },
        axisTick: { show: false },
        axisLine: rule,
      })),
      yAxis: [
        {
          gridIndex: 0,
          type: "value",
          axisLabel: { formatter: duration, color: token.colorTextTertiary },
          splitLine: rule,
        },
        {
          gridIndex: 1,
          type: "value",
          splitNumber: 2,
          axisLabel: { color: token.colorTextTertiary },
          splitLine: rule,
          name: t.operations.count,
          nameTextStyle: { color: token.colorTextTertiary },
        },
      ],
      series: [
        line(
          `p95 ${t.operations.today}`,
          found.map((hour) => hour.p95),
          { lineStyle: { color: colour, width: 2 }, itemStyle: { color: colour } },
        ),
        line(
          `p95 ${t.operations.yesterday}`,
          found.map((hour) => hour.yesterday_p95),
          quiet,
        ),
        line(
          `p50 ${t.operations.today}`,
          found.map((hour) => hour.p50),
          { lineStyle: { color: colour, width: 2, opacity: 0.5 }, itemStyle: { color: colour, opacity: 0.5 } },
        ),
        line(
          `p50 ${t.operations.yesterday}`,
          found.map((hour) => hour.yesterday_p50),
          { ...quiet, lineStyle: { color: token.colorTextQuaternary, type: "dotted" } },
        ),
        {
          name: t.operations.count,
          type: "bar",
          xAxisIndex: 1,
          yAxisIndex: 1,
          data: found.map((hour) => hour.count),
          itemStyle: { color: colour, opacity: 0.4 },
          tooltip: { valueFormatter: String },
        },
      ],
    };
  }, [hours.data, service, token, t]);
  if (hours.isError) return <Trouble error={hours.error} retry={() => void hours.refetch()} />;
  return <Chart label={`${t.operations.chart}: ${service} ${operation}`} height={420} option={option} />;
}
