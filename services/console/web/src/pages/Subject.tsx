/** What happened to one ticket, booking, …: everything in all traces, in the order it happened. */
import { ClockCircleOutlined } from "@ant-design/icons";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Button, Checkbox, Empty, Skeleton, Tag } from "antd";
import { useMemo, useState } from "react";
import { Link, useParams } from "react-router";

import { api, content } from "../api/client.ts";
import type { Happening } from "../api/types.ts";
import { Copy, Fact, Service, Trouble, When } from "../components/parts.tsx";
import { duration } from "../format.ts";
import { useText } from "../text/index.ts";
import { colourOf } from "../theme.ts";
import { useUnitNames } from "../units.ts";
import "./story.css";

const PAGE = 200;
/** A pause this long is told. */
const PAUSE = 1_000;

type Chapter = { items: Happening[]; after: number };

export default function Subject() {
  const t = useText();
  const { id = "" } = useParams();
  const [only, setOnly] = useState(false);
  const story = useInfiniteQuery({
    queryKey: ["subject", id],
    queryFn: ({ pageParam, signal }) =>
      content(
        api.GET("/console/v1/subjects/{subject}", {
          params: { path: { subject: id }, query: { limit: PAGE, ...(pageParam ? { cursor: pageParam } : {}) } },
          signal,
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next ?? undefined,
  });
  const items = useMemo(() => story.data?.pages.flatMap((page) => page.items) ?? [], [story.data]);
  const chapters = useMemo(() => chaptersOf(only ? items.filter((item) => item.error) : items), [items, only]);
  const about = story.data?.pages[0];
  const called = useUnitNames([about?.district]);
  const first = items[0];
  const last = items.at(-1);
  const errors = items.filter((item) => item.error).length;
  // What is counted is what was loaded.
  const more = story.hasNextPage && "+";

  return (
    <div className="page">
      <header className="headline">
        <div>
          <h1>{t.subject.heading(t.subject.kinds[about?.kind ?? ""] ?? about?.kind ?? t.subject.other)}</h1>
          <span className="quiet mono">{id}</span>
          <Copy text={id} />
        </div>
        <div className="actions">
          <Checkbox checked={only} onChange={(event) => setOnly(event.target.checked)}>
            {t.subject.only}
          </Checkbox>
          <Copy link />
        </div>
      </header>
      {story.isPending && <Skeleton active paragraph={{ rows: 12 }} />}
      {story.isError && <Trouble error={story.error} retry={() => void story.refetch()} />}
      {first && last && (
        <dl className="facts">
          <Fact name={t.traces.where}>{called(about?.district) || "—"}</Fact>
          <Fact name={t.subject.first}>
            <When at={first.at} />
          </Fact>
          <Fact name={t.subject.last}>
            <When at={last.at} />
            {more}
          </Fact>
          <Fact name={t.subject.lasted}>
            <strong>{duration(Date.parse(last.at) + last.duration - Date.parse(first.at))}</strong>
            {more}
          </Fact>
          <Fact name={t.subject.steps}>
            {items.length}
            {more}
          </Fact>
          <Fact name={t.subject.traces}>
            {new Set(items.map((item) => item.trace_id)).size}
            {more}
          </Fact>
          <Fact name={t.subject.errors}>
            {errors ? <Tag color="error">{errors}</Tag> : 0}
            {more}
          </Fact>
          <Fact name={t.trace.services}>
            <span className="shares">
              {[...new Set(items.map((item) => item.service))].map((name) => (
                <Service key={name} name={name} />
              ))}
            </span>
          </Fact>
        </dl>
      )}
      {story.data && chapters.length === 0 && <Empty description={t.span.none} />}
      <ol className="story" aria-label={t.subject.title}>
        {chapters.map((chapter) => (
          <li key={`${chapter.items[0]?.trace_id} ${chapter.items[0]?.span_id}`}>
            {chapter.after > PAUSE && (
              <p className="later quiet">
                <ClockCircleOutlined /> {t.subject.later(duration(chapter.after))}
              </p>
            )}
            <ChapterCard chapter={chapter} />
          </li>
        ))}
      </ol>
      {story.hasNextPage && (
        <div className="more">
          <Button onClick={() => void story.fetchNextPage()} loading={story.isFetchingNextPage}>
            {t.subject.more}
          </Button>
        </div>
      )}
    </div>
  );
}

/** An event by its name, and by its word where there is one; its subject on hover. */
function What({ item }: { item: Happening }) {
  const t = useText();
  const [, publisher, event = ""] = /^(?:send|process) linli\.(\w+)\.\{district\}\.(.+)\.v\d+$/.exec(item.what) ?? [];
  const word = t.subject.words[event];
  return (
    <span className="what-happened" title={item.what}>
      {word && <span>{word}</span>}
      <span className={item.error ? "name failed" : word ? "name quiet" : "name"}>
        {publisher ? `${publisher}.${event}` : item.what}
      </span>
    </span>
  );
}

/** Put each thing to what it followed from, so that a request stands with all that it set off. */
function chaptersOf(items: Happening[]): Chapter[] {
  const chapters: Chapter[] = [];
  const known = new Map<string, Chapter>();
  let ended = Infinity;
  for (const item of items) {
    const at = Date.parse(item.at);
    let chapter = known.get(`${item.trace_id} ${item.parent_id}`);
    if (chapter) chapter.items.push(item);
    else chapters.push((chapter = { items: [item], after: at - ended }));
    known.set(`${item.trace_id} ${item.span_id}`, chapter);
    ended = Math.max(ended === Infinity ? 0 : ended, at + item.duration);
  }
  return chapters;
}

function ChapterCard({ chapter }: { chapter: Chapter }) {
  const t = useText();
  const start = Date.parse(chapter.items[0]?.at ?? "");
  const length = Math.max(...chapter.items.map((item) => Date.parse(item.at) + item.duration - start), 1);
  return (
    <article className="chapter">
      {chapter.items.map((item, index) => {
        const offset = Date.parse(item.at) - start;
        const colour = colourOf(item.service);
        return (
          <Link
            key={item.span_id}
            to={`/traces/${item.trace_id}?span=${item.span_id}`}
            className={`happening ${item.kind}`}
            aria-label={`${t.subject.happened[item.kind]} ${item.service} ${item.what}, ${t.subject.open}`}
          >
            <span className="at">
              {index === 0 ? <When at={item.at} /> : <span className="quiet number">+{duration(offset)}</span>}
            </span>
            <i className="dot" style={{ background: item.error ? undefined : colour, borderColor: colour }} />
            <span className="kind quiet">{t.subject.happened[item.kind]}</span>
            <Service name={item.service} />
            <What item={item} />
            {(item.delivery ?? 1) > 1 && <span className="badge again">{t.trace.delivery(item.delivery ?? 1)}</span>}
            <span className="track" aria-hidden>
              <i
                className={item.error ? "error" : ""}
                style={{
                  left: `${(100 * offset) / length}%`,
                  width: `${(100 * item.duration) / length}%`,
                  background: item.error ? undefined : colour,
                }}
              />
            </span>
            <span className="number length">{duration(item.duration)}</span>
          </Link>
        );
      })}
    </article>
  );
}
