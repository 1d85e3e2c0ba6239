/** One span of the waterfall. */
import { CaretDownOutlined, CaretRightOutlined } from "@ant-design/icons";
import { memo } from "react";

import { duration } from "../format.ts";
import { useText } from "../text/index.ts";
import { colourOf } from "../theme.ts";
import type { Node, Segment } from "./layout.ts";

const INDENT = 14;
/** Deeper spans share an indent, so that names stay readable. */
const DEEPEST = 14;

type Props = {
  node: Node;
  top: number;
  height: number;
  length: number;
  foldable: number;
  folded: boolean;
  foldSql: boolean;
  critical: boolean;
  selected: boolean;
  /** Whether it is what was searched for; null when nothing was. */
  found: boolean | null;
  fold: (span: string, away: boolean) => void;
  choose: (span: string) => void;
};

export const Row = memo(function Row(props: Props) {
  const { node, length, folded, foldable, selected, found } = props;
  const t = useText();
  const { span } = node;
  const colour = colourOf(span.service);
  const end = span.offset + span.duration;
  const box = ({ from, to }: Segment) => ({ left: share(from, length), width: share(to - from, length) });
  const first = Math.min(span.offset, ...node.waits.map((wait) => wait.offset));
  const after = end / (length || 1) < 0.86;
  const decided = props.foldSql ? node.critical.concat(node.statements.flatMap((one) => one.critical)) : node.critical;
  const labelled = `${span.service} ${span.name} ${duration(span.duration)}`;

  return (
    <div
      id={`span-${span.span_id}`}
      role="treeitem"
      aria-level={node.depth + 1}
      aria-selected={selected}
      aria-expanded={foldable ? !folded : undefined}
      aria-label={span.error ? `${labelled} ${t.trace.errorLegend}` : labelled}
      className={["span", selected && "selected", found && "found", found === false && "faded"]
        .filter(Boolean)
        .join(" ")}
      style={{ height: props.height, transform: `translateY(${props.top}px)` }}
      onClick={() => props.choose(span.span_id)}
    >
      <div className="what" style={{ paddingLeft: 6 + Math.min(node.depth, DEEPEST) * INDENT }}>
        <span
          className="caret"
          aria-hidden
          onClick={(event) => {
            if (!foldable) return;
            event.stopPropagation();
            props.fold(span.span_id, !folded);
          }}
        >
          {foldable > 0 && (folded ? <CaretRightOutlined /> : <CaretDownOutlined />)}
        </span>
        <i className="stripe" style={{ background: colour }} />
        <span className="who" title={span.service}>
          {span.service}
        </span>
        <span className={span.error ? "name failed" : "name"} title={span.name}>
          {span.name}
        </span>
        {folded && <span className="badge">{foldable}</span>}
        {props.foldSql && node.statements.length > 0 && (
          <span className="badge">{t.trace.statements(node.statements.length)}</span>
        )}
        {node.delivery > 1 && <span className="badge again">{t.trace.delivery(node.delivery)}</span>}
      </div>
      <div className="when">
        {node.waits.map((wait) => (
          <i
            key={wait.kind}
            className={`wait ${wait.kind}`}
            title={`${t.trace[wait.kind]} ${duration(wait.duration)}`}
            style={{ ...box({ from: wait.offset, to: wait.offset + wait.duration }), color: colour }}
          />
        ))}
        <i
          className={span.error ? "work error" : "work"}
          style={{ ...box({ from: span.offset, to: end }), background: span.error ? undefined : colour }}
        />
        {props.foldSql &&
          node.statements.map(({ span: one }) => (
            <i
              key={one.span_id}
              className="statement"
              style={box({ from: one.offset, to: one.offset + one.duration })}
            />
          ))}
        {props.critical && decided.map((part) => <i key={part.from} className="critical" style={box(part)} />)}
        <span
          className="length number"
          style={after ? { left: share(end, length) } : { right: share(length - first, length) }}
        >
          {duration(span.duration)}
        </span>
      </div>
    </div>
  );
});

const share = (ms: number, length: number): string => `${(100 * ms) / (length || 1)}%`;
