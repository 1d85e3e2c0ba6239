/** What the services wrote in their logs meanwhile. */
import { Empty, Select, Table, Tag } from "antd";
import { useState } from "react";

import type { Log } from "../api/types.ts";
import { Service, When } from "../components/parts.tsx";
import { useText } from "../text/index.ts";
import { Attributes } from "./SpanDrawer.tsx";

const COLOURS: Record<string, string> = {
  ERROR: "error",
  CRITICAL: "error",
  FATAL: "error",
  WARNING: "warning",
  WARN: "warning",
};
const PAGE = 100;

/** With `open`, a line leads to its span. */
export function Logs({ logs, open }: { logs: Log[]; open?: (span: string) => void }) {
  const t = useText();
  const [level, setLevel] = useState<string | null>(null);
  if (logs.length === 0)
    return <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={open ? t.trace.noLogs : t.span.none} />;
  const levels = [...new Set(logs.map((log) => log.level))];
  return (
    <>
      {open && (
        <div className="toolbar">
          <Select
            size="small"
            aria-label={t.trace.level}
            placeholder={t.trace.allLevels}
            value={level}
            options={levels.map((value) => ({ value, label: value }))}
            onChange={(value: string | null) => setLevel(value)}
            allowClear
            style={{ width: 140 }}
          />
        </div>
      )}
      <Table<Log & { key: number }>
        size="small"
        dataSource={logs.map((log, key) => ({ ...log, key })).filter((log) => !level || log.level === level)}
        pagination={logs.length > PAGE ? { pageSize: PAGE, showSizeChanger: false } : false}
        expandable={{
          expandedRowRender: (log) => <Attributes of={{ logger: log.logger, ...log.attributes }} />,
          rowExpandable: (log) => Object.keys(log.attributes).length > 0,
        }}
        columns={[
          { title: t.trace.time, key: "at", width: 110, render: (_, log) => <When at={log.at} /> },
          {
            title: t.trace.level,
            key: "level",
            width: 90,
            render: (_, log) => <Tag color={COLOURS[log.level.toUpperCase()] ?? "default"}>{log.level}</Tag>,
          },
          ...(open
            ? [
                {
                  title: t.span.service,
                  key: "service",
                  width: 130,
                  render: (_: unknown, log: Log) => <Service name={log.service} />,
                },
              ]
            : []),
          {
            title: t.trace.message,
            key: "message",
            render: (_, log) =>
              open && log.span_id ? (
                <button type="button" className="plain" onClick={() => log.span_id && open(log.span_id)}>
                  {log.message}
                </button>
              ) : (
                log.message
              ),
          },
        ]}
      />
    </>
  );
}
