/** All there is to know about one span. */
import { Drawer, Empty, Input, Tabs, Tag } from "antd";
import { useMemo, useState } from "react";

import type { Trace } from "../api/types.ts";
import { Copy, Fact, Service, When } from "../components/parts.tsx";
import { duration } from "../format.ts";
import { useText } from "../text/index.ts";
import type { Node } from "./layout.ts";
import { Logs } from "./Logs.tsx";

export function SpanDrawer({ node, trace, close }: { node: Node | null; trace: Trace; close: () => void }) {
  const t = useText();
  return (
    <Drawer
      open={node !== null}
      onClose={close}
      mask={false}
      size={520}
      destroyOnHidden
      title={node && <span className="span-title">{node.span.name}</span>}
      aria-label={node?.span.name ?? ""}
      closable={{ "aria-label": t.span.close }}
    >
      {node && <Details key={node.span.span_id} node={node} trace={trace} />}
    </Drawer>
  );
}

function Details({ node, trace }: { node: Node; trace: Trace }) {
  const t = useText();
  const { span } = node;
  const logs = useMemo(() => trace.logs.filter((log) => log.span_id === span.span_id), [trace, span]);
  const kind = span.kind.toLowerCase();
  return (
    <>
      <dl className="facts narrow">
        <Fact name={t.span.service}>
          <Service name={span.service} />
        </Fact>
        <Fact name={t.span.kind}>{t.span.kinds[kind] ?? kind}</Fact>
        <Fact name={t.span.duration}>
          <strong>{duration(span.duration)}</strong>
        </Fact>
        <Fact name={t.span.own}>{duration(Math.max(node.own, 0))}</Fact>
        <Fact name={t.span.offset}>
          +{duration(span.offset)}{" "}
          <span className="quiet">
            <When at={span.started_at} />
          </span>
        </Fact>
        {node.waits.map((wait) => (
          <Fact key={wait.kind} name={t.trace[wait.kind]}>
            {duration(wait.duration)}
          </Fact>
        ))}
        {node.delivery > 1 && (
          <Fact name={t.trace.redeliveries}>
            <Tag color="warning">{t.trace.delivery(node.delivery)}</Tag>
          </Fact>
        )}
        {span.instance && <Fact name={t.span.instance}>{span.instance}</Fact>}
        {span.error && (
          <Fact name={t.span.status}>
            <Tag color="error">{span.status_message || t.trace.errorLegend}</Tag>
          </Fact>
        )}
      </dl>
      <Tabs
        size="small"
        items={[
          {
            key: "attributes",
            label: `${t.span.attributes} ${Object.keys(span.attributes).length}`,
            children: <Attributes of={span.attributes} searchable />,
          },
          {
            key: "events",
            label: `${t.span.events} ${span.events.length}`,
            children: span.events.length ? (
              span.events.map((event) => (
                <section key={`${event.at} ${event.name}`} className="span-event">
                  <When at={event.at} /> <strong>{event.name}</strong>
                  <Attributes of={event.attributes} />
                </section>
              ))
            ) : (
              <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={t.span.none} />
            ),
          },
          { key: "logs", label: `${t.span.logs} ${logs.length}`, children: <Logs logs={logs} /> },
        ]}
      />
    </>
  );
}

export function Attributes({ of, searchable }: { of: Record<string, unknown>; searchable?: boolean }) {
  const t = useText();
  const [search, setSearch] = useState("");
  const wanted = search.trim().toLowerCase();
  const shown = Object.entries(of)
    .map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)] as const)
    .filter(([name, value]) => !wanted || `${name} ${value}`.toLowerCase().includes(wanted))
    .sort(([a], [b]) => a.localeCompare(b));
  return (
    <>
      {searchable && (
        <Input
          size="small"
          allowClear
          placeholder={t.span.search}
          aria-label={t.span.search}
          onChange={(event) => setSearch(event.target.value)}
        />
      )}
      <table className="attributes">
        <tbody>
          {shown.map(([name, value]) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>
                {value}
                <Copy text={value} label={`${t.copy.copy} ${name}`} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {shown.length === 0 && <Empty image={Empty.PRESENTED_IMAGE_SIMPLE} description={t.span.none} />}
    </>
  );
}
