/** Which service calls which, how often, how well and how fast. */
import { useQuery } from "@tanstack/react-query";
import { Card, Empty, Select, Skeleton, Table, theme } from "antd";
import { useMemo } from "react";
import { useNavigate } from "react-router";

import { useAddress } from "../address.ts";
import { api, content } from "../api/client.ts";
import type { ServiceMap as MapData } from "../api/types.ts";
import { Chart } from "../components/Chart.tsx";
import { Service, Trouble } from "../components/parts.tsx";
import { RANGES, type Range } from "../filters.ts";
import { count, duration, percent } from "../format.ts";
import { useText } from "../text/index.ts";
import { colourOf, RED } from "../theme.ts";

const REFRESH = 15_000;
const DEFAULT: Range = "15m";

export default function ServiceMap() {
  const t = useText();
  const navigate = useNavigate();
  const [search, change] = useAddress();
  const wished = search.get("range") ?? "";
  const range = wished in RANGES ? (wished as Range) : DEFAULT;
  const map = useQuery({
    queryKey: ["map", range],
    queryFn: ({ signal }) => {
      const since = new Date(Date.now() - RANGES[range] * 60_000).toISOString();
      return content(api.GET("/console/v1/map", { params: { query: { since } }, signal }));
    },
    refetchInterval: REFRESH,
  });
  const errors = (rate: number, failed: number) => (
    <span className={failed ? "failed number" : "number"}>{rate ? percent(failed / rate) : "—"}</span>
  );
  const speed = (ms: number | null | undefined) => <span className="number">{ms == null ? "—" : duration(ms)}</span>;

  return (
    <div className="page">
      <header className="headline">
        <div>
          <h1>{t.map.title}</h1>
          <span className="quiet">{t.map.hint}</span>
        </div>
        <Select
          aria-label={t.map.range}
          value={range}
          options={Object.keys(RANGES).map((value) => ({ value, label: t.filters.ranges[value as Range] }))}
          onChange={(value) => change({ range: value })}
          style={{ width: 136 }}
        />
      </header>
      {map.isError && <Trouble error={map.error} retry={() => void map.refetch()} />}
      {map.isPending && <Skeleton active paragraph={{ rows: 10 }} />}
      {map.data?.nodes.length === 0 && <Empty description={t.map.empty} />}
      {map.data && map.data.nodes.length > 0 && (
        <div className="map">
          <Card size="small">
            <Graph map={map.data} open={(service) => void navigate(`/traces?service=${service}`)} />
          </Card>
          <section className="table-card">
            <Table
              size="small"
              rowKey="service"
              pagination={false}
              dataSource={map.data.nodes}
              columns={[
                { title: t.map.service, key: "service", render: (_, node) => <Service name={node.service} /> },
                {
                  title: t.map.rate,
                  key: "rate",
                  align: "right",
                  render: (_, node) => <span className="number">{count(node.rate)}</span>,
                },
                {
                  title: t.map.errorRate,
                  key: "errors",
                  align: "right",
                  render: (_, node) => errors(node.rate, node.errors),
                },
                { title: t.map.p95, key: "p95", align: "right", render: (_, node) => speed(node.p95) },
              ]}
            />
            <h2>{t.map.links}</h2>
            <Table
              size="small"
              rowKey={(edge) => `${edge.from} ${edge.to} ${edge.kind}`}
              pagination={false}
              dataSource={map.data.edges}
              scroll={{ y: 320 }}
              columns={[
                { title: t.map.from, key: "from", render: (_, edge) => <Service name={edge.from} /> },
                { title: t.map.to, key: "to", render: (_, edge) => <Service name={edge.to} /> },
                { title: t.map.kind, key: "kind", width: 56, render: (_, edge) => t.map[edge.kind] },
                {
                  title: t.map.rate,
                  key: "rate",
                  width: 64,
                  align: "right",
                  render: (_, edge) => <span className="number">{count(edge.rate)}</span>,
                },
                {
                  title: t.map.errorRate,
                  key: "errors",
                  width: 66,
                  align: "right",
                  render: (_, edge) => errors(edge.rate, edge.errors),
                },
                { title: t.map.p95, key: "p95", width: 84, align: "right", render: (_, edge) => speed(edge.p95) },
              ]}
            />
          </section>
        </div>
      )}
    </div>
  );
}

function Graph({ map, open }: { map: MapData; open: (service: string) => void }) {
  const t = useText();
  const { token } = theme.useToken();
  const option = useMemo(() => {
    const busiest = Math.max(...map.nodes.map((node) => node.rate), 0.001);
    const widest = Math.max(...map.edges.map((edge) => edge.rate), 0.001);
    const told = (rate: number, errors: number, p95: number | null | undefined): string =>
      [
        `${t.map.rate} ${count(rate)}`,
        `${t.map.errorRate} ${rate ? percent(errors / rate) : "—"}`,
        `${t.map.p95} ${p95 == null ? "—" : duration(p95)}`,
      ].join("\n");
    return {
      tooltip: { formatter: ({ data }: { data: { told: string } }) => data.told },
      series: [
        {
          type: "graph",
          layout: "circular",
          circular: { rotateLabel: false },
          left: 90,
          right: 90,
          top: 60,
          bottom: 60,
          edgeSymbol: ["none", "arrow"],
          edgeSymbolSize: 8,
          emphasis: { focus: "adjacency", lineStyle: { opacity: 1 } },
          label: {
            show: true,
            position: "bottom",
            color: token.colorText,
            fontSize: 12,
            lineHeight: 16,
            formatter: ({ data }: { data: { name: string; below: string } }) =>
              `{name|${data.name}}\n{below|${data.below}}`,
            backgroundColor: token.colorBgContainer,
            padding: [1, 3],
            rich: {
              name: { fontWeight: 600, color: token.colorText, fontSize: 13 },
              below: { color: token.colorTextTertiary, fontSize: 11 },
            },
          },
          data: map.nodes.map((node) => ({
            name: node.service,
            below: `${count(node.rate)}/s · ${node.p95 == null ? "—" : duration(node.p95)}`,
            told: `${node.service}\n${told(node.rate, node.errors, node.p95)}`,
            symbolSize: 26 + 34 * Math.sqrt(node.rate / busiest),
            itemStyle: {
              color: colourOf(node.service),
              borderColor: node.errors > 0 ? RED : token.colorBgContainer,
              borderWidth: node.errors > 0 ? 4 : 2,
            },
          })),
          edges: map.edges.map((edge) => ({
            source: edge.from,
            target: edge.to,
            told: `${edge.from} → ${edge.to}  ${t.map[edge.kind]}\n${told(edge.rate, edge.errors, edge.p95)}`,
            lineStyle: {
              color: edge.errors > 0 ? RED : token.colorTextQuaternary,
              width: 1.2 + 4 * Math.sqrt(edge.rate / widest),
              type: edge.kind === "event" ? "dashed" : "solid",
              opacity: 0.85,
              curveness: edge.kind === "event" ? 0.22 : 0.12,
            },
          })),
        },
      ],
    };
  }, [map, token, t]);
  return (
    <Chart
      label={t.map.title}
      height={620}
      option={option}
      onClick={(data) => {
        const { name } = data as { name?: string };
        if (name && map.nodes.some((node) => node.service === name)) open(name);
      }}
    />
  );
}
