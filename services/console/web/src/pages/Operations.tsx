/** How fast each operation is, against yesterday. */
import { useQuery } from "@tanstack/react-query";
import { Drawer, Empty, Input, Select, Table, Tooltip, type TableColumnsType } from "antd";
import { useState } from "react";
import { Link } from "react-router";

import { useAddress } from "../address.ts";
import { api, content } from "../api/client.ts";
import type { Operation } from "../api/types.ts";
import { Service, Took, Trouble } from "../components/parts.tsx";
import { RANGES, type Range } from "../filters.ts";
import { count, duration, percent } from "../format.ts";
import { useText } from "../text/index.ts";
import { Compared } from "./Compared.tsx";

const DEFAULT: Range = "1h";
const CHOICES: Range[] = ["15m", "1h", "6h", "24h"];
/** Less is noise. */
const NOTABLE = 0.1;

const growth = (now: number, before: number | null | undefined): number | null => (before ? now / before - 1 : null);
const keyOf = (item: Operation): string => `${item.service} ${item.operation}`;

export default function Operations() {
  const t = useText();
  const [search, change] = useAddress();
  const wished = search.get("range") as Range;
  const range = CHOICES.includes(wished) ? wished : DEFAULT;
  const service = search.get("service") ?? "";
  const [wanted, setWanted] = useState("");
  const operations = useQuery({
    queryKey: ["operations", range],
    queryFn: ({ signal }) => {
      const since = new Date(Date.now() - RANGES[range] * 60_000).toISOString();
      return content(api.GET("/console/v1/operations", { params: { query: { since } }, signal }));
    },
  });
  const all = operations.data?.items ?? [];
  const shown = all.filter(
    (item) =>
      (!service || item.service === service) && item.operation.toLowerCase().includes(wanted.trim().toLowerCase()),
  );
  const looked = all.find((item) => keyOf(item) === search.get("looked")) ?? null;
  const longest = Math.max(...shown.map((item) => item.p95), 0);

  const columns: TableColumnsType<Operation> = [
    {
      title: t.traces.operation,
      key: "operation",
      ellipsis: true,
      render: (_, item) => (
        <button
          type="button"
          className="plain operation"
          aria-label={`${t.operations.compare}: ${item.service} ${item.operation}`}
        >
          <Service name={item.service} />
          <span className="name">{item.operation}</span>
        </button>
      ),
      sorter: (a, b) => keyOf(a).localeCompare(keyOf(b)),
    },
    {
      title: t.operations.count,
      key: "count",
      width: 90,
      align: "right",
      render: (_, item) => <span className="number">{count(item.count)}</span>,
      sorter: (a, b) => a.count - b.count,
    },
    {
      title: t.operations.errorRate,
      key: "errors",
      width: 100,
      align: "right",
      render: (_, item) => (
        <span className={item.errors ? "failed number" : "number"}>
          {item.count ? percent(item.errors / item.count) : "—"}
        </span>
      ),
      sorter: (a, b) => a.errors / (a.count || 1) - b.errors / (b.count || 1),
    },
    {
      title: t.operations.p50,
      key: "p50",
      width: 96,
      align: "right",
      render: (_, item) => <span className="number">{duration(item.p50)}</span>,
      sorter: (a, b) => a.p50 - b.p50,
    },
    {
      title: t.operations.change,
      key: "c50",
      width: 104,
      align: "right",
      render: (_, item) => <Change now={item.p50} before={item.yesterday_p50} />,
    },
    {
      title: t.operations.p95,
      key: "p95",
      width: 210,
      render: (_, item) => <Took ms={item.p95} longest={longest} error={false} />,
      sorter: (a, b) => a.p95 - b.p95,
      defaultSortOrder: "descend",
    },
    {
      title: t.operations.change,
      key: "c95",
      width: 104,
      align: "right",
      render: (_, item) => <Change now={item.p95} before={item.yesterday_p95} />,
      sorter: (a, b) => (growth(a.p95, a.yesterday_p95) ?? 0) - (growth(b.p95, b.yesterday_p95) ?? 0),
    },
  ];
  return (
    <div className="page">
      <header className="headline">
        <div>
          <h1>{t.operations.title}</h1>
          <span className="quiet">{t.operations.hint}</span>
        </div>
        <div className="actions">
          <Input.Search
            allowClear
            placeholder={t.operations.search}
            aria-label={t.operations.search}
            style={{ width: 220 }}
            onChange={(event) => setWanted(event.target.value)}
          />
          <Select
            aria-label={t.filters.service}
            placeholder={t.filters.service}
            value={service || null}
            options={[...new Set(all.map((item) => item.service))].sort().map((value) => ({ value, label: value }))}
            onChange={(value: string | null) => change({ service: value })}
            allowClear
            style={{ width: 140 }}
          />
          <Select
            aria-label={t.filters.range}
            value={range}
            options={CHOICES.map((value) => ({ value, label: t.filters.ranges[value] }))}
            onChange={(value) => change({ range: value })}
            style={{ width: 136 }}
          />
        </div>
      </header>
      {operations.isError && <Trouble error={operations.error} retry={() => void operations.refetch()} />}
      <section className="table-card">
        <Table<Operation>
          size="small"
          rowKey={keyOf}
          columns={columns}
          dataSource={shown}
          loading={operations.isPending}
          pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }}
          tableLayout="fixed"
          rowClassName="row"
          onRow={(item) => ({ onClick: () => change({ looked: keyOf(item) }) })}
          locale={{ emptyText: operations.isPending ? " " : <Empty description={t.operations.empty} /> }}
        />
      </section>
      <Drawer
        open={looked !== null}
        onClose={() => change({ looked: null })}
        size={760}
        closable={{ "aria-label": t.span.close }}
        destroyOnHidden
        title={
          looked && (
            <span className="operation">
              <Service name={looked.service} />
              {looked.operation}
            </span>
          )
        }
        extra={
          looked && (
            <Link to={`/traces?${new URLSearchParams({ service: looked.service, operation: looked.operation })}`}>
              {t.operations.traces}
            </Link>
          )
        }
      >
        {looked && <Compared operation={looked} />}
      </Drawer>
    </div>
  );
}

/** How much slower or faster; a notable slowdown in red. */
function Change({ now, before }: { now: number; before: number | null | undefined }) {
  const t = useText();
  const share = growth(now, before);
  if (share === null) return <span className="quiet">{t.operations.new}</span>;
  const notable = Math.abs(share) >= NOTABLE;
  return (
    <Tooltip title={`${t.operations.yesterday} ${duration(before ?? 0)}`}>
      <span className={`number ${notable ? (share > 0 ? "failed" : "better") : "quiet"}`}>
        {share > 0 ? "▲" : "▼"} {percent(Math.abs(share))}
      </span>
    </Tooltip>
  );
}
