/** The list of traces, newest first. */
import { Button, Empty, Table, Tag, Tooltip, type TableColumnsType } from "antd";
import { HistoryOutlined } from "@ant-design/icons";
import { useMemo } from "react";
import { Link, useNavigate } from "react-router";

import type { TraceItem } from "../api/types.ts";
import { Service, Took, When } from "../components/parts.tsx";
import { useText } from "../text/index.ts";
import { useUnitNames } from "../units.ts";

type Props = {
  items: TraceItem[];
  fresh: TraceItem[];
  pending: boolean;
  fetching: boolean;
  more: (() => void) | null;
};

export function TraceTable({ items, fresh, pending, fetching, more }: Props) {
  const t = useText();
  const navigate = useNavigate();
  const called = useUnitNames(items.map((item) => item.unit ?? item.district));
  const longest = useMemo(() => Math.max(...items.map((item) => item.duration), 0), [items]);
  const arrived = useMemo(() => new Set(fresh.map((item) => item.trace_id)), [fresh]);

  const columns: TableColumnsType<TraceItem> = [
    { title: t.traces.started, key: "started", width: 124, render: (_, item) => <When at={item.started_at} /> },
    {
      title: t.traces.operation,
      key: "operation",
      ellipsis: true,
      render: (_, item) => (
        <Link to={`/traces/${item.trace_id}`} className="operation" onClick={(event) => event.stopPropagation()}>
          <Service name={item.service} />
          <span className={item.errors ? "name failed" : "name"}>{item.operation}</span>
        </Link>
      ),
    },
    {
      title: t.traces.duration,
      key: "duration",
      width: 200,
      render: (_, item) => <Took ms={item.duration} longest={longest} error={item.errors > 0} />,
    },
    {
      title: t.traces.where,
      key: "where",
      width: 190,
      ellipsis: true,
      render: (_, item) => called(item.unit ?? item.district),
    },
    {
      title: t.traces.services,
      key: "services",
      width: 96,
      render: (_, item) => (
        <Tooltip title={item.services.join("  ")}>
          <span className="dots">
            {item.services.map((name) => (
              <Service key={name} name={name} quiet />
            ))}
          </span>
        </Tooltip>
      ),
    },
    { title: t.traces.spans, dataIndex: "spans", width: 66, align: "right", className: "number" },
    {
      title: t.traces.marks,
      key: "marks",
      width: 166,
      render: (_, item) => (
        <>
          {item.errors > 0 && <Tag color="error">{t.traces.errors(item.errors)}</Tag>}
          {item.redeliveries > 0 && <Tag color="warning">{t.traces.redelivered(item.redeliveries)}</Tag>}
        </>
      ),
    },
    {
      title: t.traces.subject,
      key: "subject",
      width: 64,
      align: "center",
      render: (_, item) =>
        item.subject && (
          <Tooltip title={t.traces.whole}>
            <Link
              to={`/subjects/${item.subject}`}
              aria-label={t.traces.whole}
              onClick={(event) => event.stopPropagation()}
            >
              <HistoryOutlined />
            </Link>
          </Tooltip>
        ),
    },
  ];
  return (
    <section className="table-card">
      <Table<TraceItem>
        size="small"
        rowKey="trace_id"
        columns={columns}
        dataSource={items}
        loading={pending || fetching}
        pagination={false}
        tableLayout="fixed"
        scroll={{ x: 1080 }}
        rowClassName={(item) => (arrived.has(item.trace_id) ? "row arrived" : "row")}
        onRow={(item) => ({ onClick: () => void navigate(`/traces/${item.trace_id}`) })}
        locale={{
          emptyText: pending ? (
            " "
          ) : (
            <Empty
              description={
                <>
                  {t.traces.empty}
                  <p className="quiet">{t.traces.emptyHint}</p>
                </>
              }
            />
          ),
        }}
      />
      {items.length > 0 && (
        <div className="more">
          {more ? (
            <Button onClick={more} loading={fetching}>
              {t.traces.more}
            </Button>
          ) : (
            <span className="quiet">{t.traces.end}</span>
          )}
        </div>
      )}
    </section>
  );
}
