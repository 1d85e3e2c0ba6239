/** The waterfall: a tree of spans to the left, what each took to the right; only the rows in sight exist. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { Button, Input, Space, Switch } from "antd";
import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";

import type { Trace } from "../api/types.ts";
import { duration } from "../format.ts";
import { recall, remember } from "../storage.ts";
import { useText } from "../text/index.ts";
import { rows as listRows, ticks, visible, type Layout } from "./layout.ts";
import { Row } from "./Row.tsx";
import { SpanDrawer } from "./SpanDrawer.tsx";
import "./waterfall.css";

const ROW = 28;
const OVERSCAN = 12;

type Props = { trace: Trace; layout: Layout; chosen: string | null; choose: (span: string | null) => void };

export function Waterfall({ trace, layout, chosen, choose }: Props) {
  const t = useText();
  const [folded, setFolded] = useState<ReadonlySet<string>>(new Set());
  const [foldSql, setFoldSql] = useState(recall("sql") !== "shown");
  const [critical, setCritical] = useState(recall("critical") !== "off");
  const [search, setSearch] = useState("");
  const [at, setAt] = useState(chosen);
  const scroll = useRef<HTMLDivElement>(null);

  const rows = useMemo(() => listRows(layout, folded, foldSql), [layout, folded, foldSql]);
  const wanted = search.trim().toLowerCase();
  const matches = useMemo(
    () =>
      new Set(
        wanted
          ? rows
              .filter(({ span }) => `${span.service} ${span.name}`.toLowerCase().includes(wanted))
              .map(({ span }) => span.span_id)
          : [],
      ),
    [rows, wanted],
  );
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => ROW,
    overscan: OVERSCAN,
  });
  const index = rows.findIndex((row) => row.span.span_id === at);

  // A link to a span opens where the span is, also when it lies among folded statements.
  useEffect(() => {
    if (!chosen) return;
    setAt(chosen);
    const node = layout.nodes.get(chosen);
    if (node?.parent?.statements.includes(node)) setFoldSql(false);
  }, [chosen, layout]);
  useEffect(() => {
    if (index >= 0) virtual.scrollToIndex(index);
    // Only a move of the selection scrolls.
  }, [index, virtual]);
  useEffect(() => {
    const first = rows.findIndex((row) => matches.has(row.span.span_id));
    if (first >= 0) virtual.scrollToIndex(first);
  }, [matches, rows, virtual]);

  const fold = (id: string, away: boolean): void =>
    setFolded((before) => {
      const next = new Set(before);
      if (away) next.add(id);
      else next.delete(id);
      return next;
    });
  const foldAll = (): void =>
    setFolded(
      new Set(
        [...layout.nodes.values()].filter((node) => visible(node, foldSql).length).map((node) => node.span.span_id),
      ),
    );

  const press = (event: KeyboardEvent): void => {
    const node = rows[index];
    const go = (to: number): void => setAt(rows[Math.min(Math.max(to, 0), rows.length - 1)]?.span.span_id ?? null);
    const open = node && visible(node, foldSql).length > 0 && !folded.has(node.span.span_id);
    const keys: Record<string, () => void> = {
      ArrowDown: () => go(index + 1),
      ArrowUp: () => go(index - 1),
      PageDown: () => go(index + 15),
      PageUp: () => go(index - 15),
      Home: () => go(0),
      End: () => go(rows.length - 1),
      ArrowRight: () => (node && folded.has(node.span.span_id) ? fold(node.span.span_id, false) : go(index + 1)),
      ArrowLeft: () => {
        if (node && open) fold(node.span.span_id, true);
        else if (node?.parent) setAt(node.parent.span.span_id);
      },
      Enter: () => node && choose(node.span.span_id),
      Escape: () => choose(null),
    };
    const act = keys[event.key];
    if (!act || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  };

  const marks = ticks(layout.length);
  const left = (ms: number): string => `${(100 * ms) / (layout.length || 1)}%`;
  return (
    <section className="waterfall">
      <div className="toolbar">
        <Space wrap>
          <Input.Search
            size="small"
            placeholder={t.trace.search}
            aria-label={t.trace.search}
            allowClear
            style={{ width: 220 }}
            onChange={(event) => setSearch(event.target.value)}
          />
          {wanted && (
            <span className="quiet" role="status">
              {matches.size ? t.trace.matches(matches.size) : t.trace.noMatch}
            </span>
          )}
          <Toggle
            name={t.trace.critical}
            on={critical}
            turn={setCritical}
            keep={(on) => remember("critical", on ? "on" : "off")}
          />
          <Toggle
            name={t.trace.foldSql}
            on={foldSql}
            turn={setFoldSql}
            keep={(on) => remember("sql", on ? "folded" : "shown")}
          />
          <Button size="small" type="text" onClick={() => setFolded(new Set())}>
            {t.trace.expand}
          </Button>
          <Button size="small" type="text" onClick={foldAll}>
            {t.trace.collapse}
          </Button>
        </Space>
        <span className="legend quiet" aria-label={t.trace.legend}>
          <i className="critical" /> {t.trace.criticalLegend}
          <i className="wait" /> {t.trace.waitLegend}
          <i className="error" /> {t.trace.errorLegend}
        </span>
      </div>
      <div className="axis" aria-hidden>
        <span />
        <div>
          {marks.map((ms) => (
            <span key={ms} style={{ left: left(ms) }}>
              {duration(ms)}
            </span>
          ))}
        </div>
      </div>
      <div
        ref={scroll}
        className="rows"
        role="tree"
        tabIndex={0}
        aria-label={t.trace.tree}
        aria-activedescendant={index >= 0 ? `span-${at}` : undefined}
        onKeyDown={press}
        style={{ height: Math.min(rows.length * ROW, 20_000) + 2 }}
      >
        <div style={{ height: virtual.getTotalSize(), position: "relative" }}>
          <div className="grid" aria-hidden>
            {marks.map((ms) => (
              <i key={ms} style={{ left: left(ms) }} />
            ))}
          </div>
          {virtual.getVirtualItems().map((item) => {
            const node = rows[item.index];
            if (!node) return null;
            const id = node.span.span_id;
            return (
              <Row
                key={id}
                node={node}
                top={item.start}
                height={ROW}
                length={layout.length}
                foldable={visible(node, foldSql).length}
                folded={folded.has(id)}
                foldSql={foldSql}
                critical={critical}
                selected={id === at}
                found={wanted ? matches.has(id) : null}
                fold={fold}
                choose={(span) => {
                  setAt(span);
                  choose(span);
                }}
              />
            );
          })}
        </div>
      </div>
      <p className="quiet keys">{t.trace.keys}</p>
      <SpanDrawer node={(chosen && layout.nodes.get(chosen)) || null} trace={trace} close={() => choose(null)} />
    </section>
  );
}

function Toggle({
  name,
  on,
  turn,
  keep,
}: {
  name: string;
  on: boolean;
  turn: (on: boolean) => void;
  keep: (on: boolean) => void;
}) {
  return (
    <label className="toggle">
      <Switch
        size="small"
        checked={on}
        aria-label={name}
        onChange={(value) => {
          turn(value);
          keep(value);
        }}
      />
      {name}
    </label>
  );
}
