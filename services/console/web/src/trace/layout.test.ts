import assert from "node:assert/strict";
import { test } from "node:test";

import type { Span, Trace } from "../api/types.ts";
import { layOut, rows, ticks } from "./layout.ts";

const span = (
  span_id: string,
  parent_id: string | null,
  offset: number,
  duration: number,
  more: Partial<Span> = {},
): Span => ({
  span_id,
  parent_id,
  service: "tickets",
  instance: "one",
  name: span_id,
  kind: "internal",
  started_at: "2026-01-01T00:00:00Z",
  offset,
  duration,
  error: false,
  status_message: null,
  attributes: {},
  events: [],
  ...more,
});

const trace = (...spans: Span[]): Trace => ({
  trace_id: "0",
  started_at: "2026-01-01T00:00:00Z",
  duration: Math.max(...spans.map((one) => one.offset + one.duration)),
  services: ["tickets"],
  spans,
  logs: [],
  waits: [],
  redeliveries: [],
  truncated: false,
});

const critical = (found: ReturnType<typeof layOut>): Record<string, number> =>
  Object.fromEntries(
    [...found.nodes].map(([id, node]) => [id, node.critical.reduce((sum, { from, to }) => sum + to - from, 0)]),
  );

test("of two children at once the one that ended last decides", () => {
  const found = layOut(trace(span("root", null, 0, 100), span("quick", "root", 10, 20), span("slow", "root", 10, 80)));
  assert.deepEqual(critical(found), { root: 20, quick: 0, slow: 80 });
});

test("children one after the other decide one after the other", () => {
  const found = layOut(trace(span("root", null, 0, 100), span("first", "root", 0, 40), span("second", "root", 50, 50)));
  assert.deepEqual(critical(found), { root: 10, first: 40, second: 50 });
});

test("work that an event set off decides after its sender has ended, and waiting is nobody's work", () => {
  const found = layOut(
    trace(span("request", null, 0, 10), span("send", "request", 30, 5), span("process", "send", 60, 40)),
  );
  assert.deepEqual(critical(found), { request: 10, send: 5, process: 40 });
  assert.equal(found.length, 100);
});

test("a request's own time is what none of its children took, whether they ran side by side or not", () => {
  const found = layOut(trace(span("root", null, 0, 100), span("a", "root", 10, 40), span("b", "root", 30, 40)));
  assert.equal(found.nodes.get("root")?.own, 40);
});

test("a span whose parent is missing is a root, and parents in a circle are drawn once", () => {
  const found = layOut(trace(span("lost", "elsewhere", 0, 10), span("a", "b", 0, 10), span("b", "a", 1, 5)));
  assert.equal(rows(found, new Set(), false).length, 3);
});

test("statements fold into their span unless they failed", () => {
  const sql = { attributes: { "db.system": "postgresql" } };
  const found = layOut(
    trace(
      span("root", null, 0, 10),
      span("ok", "root", 1, 2, sql),
      span("failed", "root", 4, 2, { ...sql, error: true }),
    ),
  );
  assert.deepEqual(
    rows(found, new Set(), true).map((node) => node.span.name),
    ["root", "failed"],
  );
  assert.equal(rows(found, new Set(), false).length, 3);
  assert.equal(rows(found, new Set(["root"]), false).length, 1);
});

test("ticks are round and stay inside", () => {
  assert.deepEqual(ticks(100), [0, 20, 40, 60, 80, 100]);
  assert.deepEqual(ticks(0), [0]);
});

test("five thousand spans, each below the one before, are laid out", () => {
  const chain = Array.from({ length: 5000 }, (_, index) =>
    span(`${index}`, index ? `${index - 1}` : null, index, 5000 - index),
  );
  const found = layOut(trace(...chain));
  assert.equal(found.nodes.get("4999")?.depth, 4999);
});
