/** How a trace is laid out: the tree of its spans, what waited, and the path that decided how long it took. */
import type { Span, Trace, Wait } from "../api/types.ts";

export type Segment = { from: number; to: number };

export type Node = {
  span: Span;
  depth: number;
  parent: Node | null;
  children: Node[];
  /** Statements shown as marks in this span's bar while SQL is folded. */
  statements: Node[];
  waits: Wait[];
  delivery: number;
  /** When the last of its descendants ended. */
  end: number;
  /** Parts of the span during which nothing else decided when the trace would end. */
  critical: Segment[];
  /** Time spent in none of its children. */
  own: number;
};

export type Layout = { roots: Node[]; nodes: Map<string, Node>; length: number };

/** What two clocks may differ by without a child having ended after its parent. */
const TOLERANCE = 0.05;

const endOf = (span: Span): number => span.offset + span.duration;

export const isStatement = (span: Span): boolean => Object.keys(span.attributes).some((name) => name.startsWith("db."));

export function layOut(trace: Trace): Layout {
  const nodes = new Map<string, Node>();
  const sorted = trace.spans.toSorted((a, b) => a.offset - b.offset || b.duration - a.duration);
  for (const span of sorted) {
    nodes.set(span.span_id, {
      span,
      depth: 0,
      parent: null,
      children: [],
      statements: [],
      waits: [],
      delivery: 1,
      end: endOf(span),
      critical: [],
      own: 0,
    });
  }
  for (const wait of trace.waits) if (wait.duration > 0) nodes.get(wait.to_span)?.waits.push(wait);
  for (const { span_id, delivery } of trace.redeliveries) {
    const node = nodes.get(span_id);
    if (node) node.delivery = delivery;
  }
  // A parent outside of this trace's spans, as of a caller that exports none, leaves a root.
  const roots: Node[] = [];
  for (const node of nodes.values()) {
    const parent = node.span.parent_id ? nodes.get(node.span.parent_id) : undefined;
    if (parent && !isBelow(parent, node)) {
      node.parent = parent;
      parent.children.push(node);
    } else {
      roots.push(node);
    }
  }
  const order = depthFirst(roots);
  for (const node of order) node.depth = node.parent ? node.parent.depth + 1 : 0;
  for (const node of order.toReversed()) {
    for (const child of node.children) node.end = Math.max(node.end, child.end);
    node.own = node.span.duration - covered(node);
    node.statements = node.children.filter(
      (child) => isStatement(child.span) && !child.span.error && !child.children.length,
    );
  }
  const length = Math.max(trace.duration, ...order.map((node) => node.end), 0);
  markCritical(roots, length);
  return { roots, nodes, length };
}

/** Tell whether a node is the other or hangs below it: broken clocks are drawn, loops are not. */
function isBelow(node: Node, other: Node): boolean {
  for (let at: Node | null = node; at; at = at.parent) if (at === other) return true;
  return false;
}

function depthFirst(roots: Node[]): Node[] {
  const order: Node[] = [];
  const waiting = roots.toReversed();
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    order.push(node);
    waiting.push(...node.children.toReversed());
  }
  return order;
}

/** Sum up the parts of a span that its children cover, each part once. */
function covered(node: Node): number {
  const end = endOf(node.span);
  let until = node.span.offset;
  let sum = 0;
  for (const { span } of node.children) {
    const from = Math.max(span.offset, until);
    const to = Math.min(endOf(span), end);
    if (to > from) sum += to - from;
    until = Math.max(until, to);
  }
  return sum;
}

/**
 * Walk back from the end: what ended last decided; before it began, what had ended last until then; and so on.
 * Work that an event set off belongs to the span that sent it, even when that had ended long before.
 */
function markCritical(roots: Node[], length: number): void {
  const waiting: { node: Node | null; children: Node[]; until: number }[] = [
    { node: null, children: roots, until: length },
  ];
  for (let task = waiting.pop(); task; task = waiting.pop()) {
    const { node, children } = task;
    let at = task.until;
    for (const child of children.toSorted((a, b) => b.end - a.end)) {
      if (child.end > at + TOLERANCE) continue;
      if (node) addSegment(node, child.end, at);
      waiting.push({ node: child, children: child.children, until: Math.min(child.end, at) });
      at = Math.min(at, child.span.offset);
    }
    if (node) addSegment(node, node.span.offset, at);
  }
}

function addSegment(node: Node, from: number, to: number): void {
  const start = Math.max(from, node.span.offset);
  const end = Math.min(to, endOf(node.span));
  if (end > start) node.critical.push({ from: start, to: end });
}

/** List the rows to show: what is folded stays away. */
export function rows(layout: Layout, folded: ReadonlySet<string>, foldSql: boolean): Node[] {
  const shown: Node[] = [];
  const waiting = layout.roots.toReversed();
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    shown.push(node);
    if (!folded.has(node.span.span_id)) waiting.push(...visible(node, foldSql).toReversed());
  }
  return shown;
}

/** The children that get rows of their own. */
export function visible(node: Node, foldSql: boolean): Node[] {
  if (!foldSql || !node.statements.length) return node.children;
  const statements = new Set(node.statements);
  return node.children.filter((child) => !statements.has(child));
}

/** Round steps that cut a length into about so many parts, in milliseconds. */
export function ticks(length: number, parts = 6): number[] {
  if (length <= 0) return [0];
  const rough = length / parts;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? rough;
  return Array.from({ length: Math.floor(length / step + 1e-9) + 1 }, (_, index) => index * step);
}

/** Time each service itself worked, the longest first. */
export function shares(layout: Layout): [string, number][] {
  const sums = new Map<string, number>();
  for (const { span, own } of layout.nodes.values())
    sums.set(span.service, (sums.get(span.service) ?? 0) + Math.max(own, 0));
  return [...sums].sort((a, b) => b[1] - a[1]);
}
