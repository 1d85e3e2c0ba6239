/** All traces: filters, durations at a glance, the slowest, the list, live. */
import { PauseOutlined, PlayCircleOutlined, ReloadOutlined } from "@ant-design/icons";
import { keepPreviousData, useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Badge, Button, Card, Space } from "antd";
import { useMemo } from "react";

import { api, content } from "../api/client.ts";
import { Trouble } from "../components/parts.tsx";
import { query, useFilters } from "../filters.ts";
import { useSession } from "../session.ts";
import { useText } from "../text/index.ts";
import { Durations, Slowest } from "./Durations.tsx";
import { FilterBar } from "./FilterBar.tsx";
import { TraceTable } from "./TraceTable.tsx";
import { useLive, type Live } from "./useLive.ts";

const PAGE = 50;
const MOST_POINTS = 2000;

export default function Traces() {
  const t = useText();
  const { token } = useSession();
  const [filters, change] = useFilters();

  const list = useInfiniteQuery({
    queryKey: ["traces", filters],
    queryFn: ({ pageParam, signal }) =>
      content(
        api.GET("/console/v1/traces", {
          params: {
            query: { ...pageParam.query, limit: PAGE, ...(pageParam.cursor ? { cursor: pageParam.cursor } : {}) },
          },
          signal,
        }),
      ).then((page) => ({ ...page, query: pageParam.query })),
    // "The last hour" is the same hour on every page.
    initialPageParam: { query: query(filters), cursor: "" },
    getNextPageParam: (page) => (page.next ? { query: page.query, cursor: page.next } : undefined),
    placeholderData: keepPreviousData,
  });
  const scatter = useQuery({
    queryKey: ["scatter", filters],
    queryFn: ({ signal }) =>
      content(api.GET("/console/v1/traces/scatter", { params: { query: query(filters) }, signal })),
    placeholderData: keepPreviousData,
  });
  const refresh = (): void => {
    void list.refetch();
    void scatter.refetch();
  };
  const live = useLive(filters, token, refresh);

  const read = list.data?.pages;
  const items = useMemo(() => {
    const fresh = new Set(live.items.map((item) => item.trace_id));
    return [...live.items, ...(read ?? []).flatMap((page) => page.items).filter((item) => !fresh.has(item.trace_id))];
  }, [read, live.items]);
  const points = useMemo(() => {
    const fresh = live.items.map((item) => ({ ...item, at: item.started_at, error: item.errors > 0 }));
    const ids = new Set(fresh.map((item) => item.trace_id));
    return [...fresh, ...(scatter.data?.points ?? []).filter((point) => !ids.has(point.trace_id))].slice(
      0,
      MOST_POINTS,
    );
  }, [scatter.data, live.items]);

  return (
    <div className="page">
      <h1 className="hidden">{t.traces.title}</h1>
      <div className="toolbar">
        <FilterBar filters={filters} change={change} />
        <Space>
          <Button
            icon={<ReloadOutlined spin={list.isFetching} />}
            aria-label={t.refresh}
            title={t.refresh}
            onClick={refresh}
          />
          <LiveButtons live={live} />
        </Space>
      </div>
      <div className="overview">
        <Card
          size="small"
          title={t.traces.scatter}
          extra={<span className="quiet">{scatter.data?.truncated ? t.traces.truncated : t.traces.scatterHint}</span>}
        >
          {scatter.isError ? (
            <Trouble error={scatter.error} retry={() => void scatter.refetch()} />
          ) : (
            <Durations points={points} />
          )}
        </Card>
        <Card size="small" title={t.traces.slowest}>
          <Slowest points={points} pending={scatter.isPending} />
        </Card>
      </div>
      {list.isError && <Trouble error={list.error} retry={() => void list.refetch()} />}
      <TraceTable
        items={items}
        fresh={live.items}
        pending={list.isPending}
        fetching={list.isPlaceholderData || list.isFetchingNextPage}
        more={list.hasNextPage ? () => void list.fetchNextPage() : null}
      />
    </div>
  );
}

function LiveButtons({ live }: { live: Live }) {
  const t = useText();
  if (live.state === "off") {
    return (
      <Button icon={<PlayCircleOutlined />} onClick={live.start}>
        {t.traces.live}
      </Button>
    );
  }
  const status = {
    on: <Badge status="processing" color="green" text={t.traces.stateOn} />,
    paused: <Badge status="warning" text={live.waiting ? t.traces.waiting(live.waiting) : t.traces.statePaused} />,
    lost: <Badge status="error" text={t.traces.stateLost} />,
  }[live.state];
  return (
    <Space>
      <span role="status">{status}</span>
      {live.state === "paused" ? (
        <Button icon={<PlayCircleOutlined />} onClick={live.resume}>
          {t.traces.resume}
        </Button>
      ) : (
        <Button icon={<PauseOutlined />} onClick={live.pause}>
          {t.traces.pause}
        </Button>
      )}
      <Button type="primary" aria-pressed onClick={live.stop}>
        {t.traces.live}
      </Button>
    </Space>
  );
}
