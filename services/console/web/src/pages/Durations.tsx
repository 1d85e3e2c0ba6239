/** How long traces took: a dot for each, and the slowest by name. */
import { Empty, Skeleton, theme } from "antd";
import { useMemo } from "react";
import { Link, useNavigate } from "react-router";

import type { Scatter } from "../api/types.ts";
import { Chart } from "../components/Chart.tsx";
import { Service } from "../components/parts.tsx";
import { clock, day, duration } from "../format.ts";
import { useText } from "../text/index.ts";
import { colourOf, RED } from "../theme.ts";

type Point = Scatter["points"][number];
type Dot = { value: [number, number]; point: Point };

const HEIGHT = 190;
const SHOWN = 6;
const SMALLEST = 0.1;
const DAY = 86_400_000;

export function Durations({ points }: { points: Point[] }) {
  const t = useText();
  const navigate = useNavigate();
  const { token } = theme.useToken();

  const option = useMemo(() => {
    const services = [...new Set(points.map((point) => point.service))].sort();
    const times = points.map((point) => Date.parse(point.at));
    const long = Math.max(...times) - Math.min(...times) > DAY;
    const dots = (wanted: (point: Point) => boolean): Dot[] =>
      points
        .filter(wanted)
        .map((point) => ({ value: [Date.parse(point.at), Math.max(point.duration, SMALLEST)], point }));
    const series = (name: string, color: string, data: Dot[]) => ({
      name,
      type: "scatter",
      data,
      symbolSize: 7,
      itemStyle: { color, opacity: 0.72 },
      emphasis: { scale: 1.7, itemStyle: { opacity: 1 } },
      cursor: "pointer",
    });
    const line = { lineStyle: { color: token.colorBorderSecondary } };
    return {
      animation: false,
      grid: { left: 62, right: 16, top: 30, bottom: 24 },
      legend: {
        top: 0,
        right: 8,
        icon: "circle",
        itemWidth: 8,
        itemHeight: 8,
        textStyle: { color: token.colorTextSecondary },
      },
      tooltip: {
        formatter: ({ data }: { data: Dot }) =>
          `${data.point.service}  ${data.point.operation}\n${clock(new Date(data.point.at))}   ${duration(data.point.duration)}`,
      },
      xAxis: {
        type: "time",
        axisLine: line,
        axisTick: { show: false },
        axisLabel: {
          color: token.colorTextTertiary,
          hideOverlap: true,
          formatter: (at: number) => (long ? `${day(new Date(at))} ` : "") + clock(new Date(at)).slice(0, long ? 5 : 8),
        },
        splitLine: { show: false },
      },
      yAxis: {
        type: "log",
        axisLabel: { color: token.colorTextTertiary, formatter: duration },
        splitLine: line,
      },
      series: [
        ...services.map((name) =>
          series(
            name,
            colourOf(name),
            dots((point) => point.service === name && !point.error),
          ),
        ),
        series(
          t.trace.errors,
          RED,
          dots((point) => point.error),
        ),
      ],
    };
  }, [points, token, t]);

  if (points.length === 0)
    return <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={t.traces.empty} style={{ height: HEIGHT - 32 }} />;
  return (
    <Chart
      label={`${t.traces.scatter}: ${points.length}`}
      height={HEIGHT}
      option={option}
      onClick={(data) => void navigate(`/traces/${(data as Dot).point.trace_id}`)}
    />
  );
}

export function Slowest({ points, pending }: { points: Point[]; pending: boolean }) {
  const t = useText();
  const slowest = useMemo(() => points.toSorted((a, b) => b.duration - a.duration).slice(0, SHOWN), [points]);
  if (pending) return <Skeleton active paragraph={{ rows: 5 }} title={false} />;
  if (slowest.length === 0) return <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={t.traces.empty} />;
  return (
    <ol className="slowest" aria-label={t.traces.slowest}>
      {slowest.map((point) => (
        <li key={point.trace_id}>
          <Link to={`/traces/${point.trace_id}`}>
            <Service name={point.service} quiet />
            <span className={point.error ? "name failed" : "name"}>{point.operation}</span>
            <span className="number">{duration(point.duration)}</span>
          </Link>
        </li>
      ))}
    </ol>
  );
}
