/** One trace: its facts, the waterfall, its logs. */
import { ArrowLeftOutlined, HistoryOutlined } from "@ant-design/icons";
import { useQuery } from "@tanstack/react-query";
import { Alert, Button, Skeleton, Tabs, Tag } from "antd";
import { useMemo } from "react";
import { Link, useLocation, useNavigate, useParams } from "react-router";

import { useAddress } from "../address.ts";
import { api, content } from "../api/client.ts";
import type { Trace as TraceData } from "../api/types.ts";
import { Copy, Fact, Service, Trouble, When } from "../components/parts.tsx";
import { duration, percent } from "../format.ts";
import { useText } from "../text/index.ts";
import { layOut, shares } from "../trace/layout.ts";
import { Logs } from "../trace/Logs.tsx";
import { Waterfall } from "../trace/Waterfall.tsx";
import { useUnitNames } from "../units.ts";

export default function Trace() {
  const t = useText();
  const { id = "" } = useParams();
  const navigate = useNavigate();
  const cameFromHere = useLocation().key !== "default";
  const trace = useQuery({
    queryKey: ["trace", id],
    queryFn: ({ signal }) =>
      content(api.GET("/console/v1/traces/{trace_id}", { params: { path: { trace_id: id } }, signal })),
  });
  return (
    <div className="page">
      <Button
        type="link"
        size="small"
        icon={<ArrowLeftOutlined />}
        className="back"
        onClick={() => void (cameFromHere ? navigate(-1) : navigate("/traces"))}
      >
        {t.trace.back}
      </Button>
      {trace.isPending && <Skeleton active paragraph={{ rows: 12 }} />}
      {trace.isError && <Trouble error={trace.error} retry={() => void trace.refetch()} />}
      {trace.data && <Shown trace={trace.data} />}
    </div>
  );
}

/** Find what a trace says about itself anywhere: its district, its unit, what it was about. */
function attribute(trace: TraceData, name: string): string | null {
  const found = trace.spans.find((span) => span.attributes[name] != null)?.attributes[name];
  return found == null ? null : String(found);
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

function Shown({ trace }: { trace: TraceData }) {
  const t = useText();
  const [search, change] = useAddress();
  const layout = useMemo(() => layOut(trace), [trace]);
  const first = layout.roots[0]?.span;
  const unit = attribute(trace, "linli.unit") ?? attribute(trace, "linli.district");
  const called = useUnitNames([unit]);
  const subject = attribute(trace, "linli.aggregate");
  const errors = trace.spans.filter((span) => span.error).length;
  const worked = shares(layout);
  const total = worked.reduce((sum, [, ms]) => sum + ms, 0);
  const tab = search.get("tab") ?? "waterfall";

  return (
    <>
      <header className="headline">
        <div>
          <h1>
            {first && <Service name={first.service} />}
            {first?.name}
          </h1>
          <span className="quiet mono">{trace.trace_id}</span>
          <Copy text={trace.trace_id} />
        </div>
        <div className="actions">
          {subject && UUID.test(subject) && (
            <Link to={`/subjects/${subject}`}>
              <Button size="small" icon={<HistoryOutlined />} tabIndex={-1}>
                {t.trace.whole}
              </Button>
            </Link>
          )}
          <Copy link />
        </div>
      </header>
      <dl className="facts">
        <Fact name={t.trace.duration}>
          <strong>{duration(trace.duration)}</strong>
        </Fact>
        <Fact name={t.trace.started}>
          <When at={trace.started_at} />
        </Fact>
        <Fact name={t.traces.where}>{called(unit) || "—"}</Fact>
        <Fact name={t.trace.spans}>{trace.spans.length}</Fact>
        <Fact name={t.trace.errors}>{errors ? <Tag color="error">{errors}</Tag> : 0}</Fact>
        <Fact name={t.trace.redeliveries}>
          {trace.redeliveries.length ? <Tag color="warning">{trace.redeliveries.length}</Tag> : 0}
        </Fact>
        <Fact name={t.trace.services}>
          <span className="shares">
            {worked.map(([name, ms]) => (
              <span key={name}>
                <Service name={name} /> <span className="quiet">{percent(total ? ms / total : 0)}</span>
              </span>
            ))}
          </span>
        </Fact>
      </dl>
      {trace.truncated && <Alert type="warning" showIcon className="trouble" title={t.trace.truncated} />}
      <Tabs
        activeKey={tab}
        onChange={(key) => change({ tab: key === "waterfall" ? null : key })}
        items={[
          {
            key: "waterfall",
            label: t.trace.waterfall,
            children: (
              <Waterfall
                key={trace.trace_id}
                trace={trace}
                layout={layout}
                chosen={search.get("span")}
                choose={(span) => change({ span })}
              />
            ),
          },
          {
            key: "logs",
            label: `${t.trace.logs} ${trace.logs.length}`,
            children: <Logs logs={trace.logs} open={(span) => change({ tab: null, span })} />,
          },
        ]}
      />
    </>
  );
}
