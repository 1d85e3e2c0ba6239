/** Messages that no service could handle: read, replayed, given up. */
import { useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { Badge, Button, Empty, Segmented, Select, Spin, Table, type TableColumnsType } from "antd";
import { useState } from "react";

import { useAddress } from "../address.ts";
import { apiOf, content } from "../api/client.ts";
import { Service, Trouble, When } from "../components/parts.tsx";
import { useText } from "../text/index.ts";
import { DeadLetterDrawer } from "./DeadLetterDrawer.tsx";
import { stateOf, type Letter, type State } from "./letters.ts";

const SERVICES = ["directory", "residents", "tickets", "points", "bookings", "notifications"];
const PAGE = 100;
const STATES: (State | "all")[] = ["pending", "replayed", "discarded", "all"];

type Found = { items: Letter[]; more: boolean };

/** Read a service's letters up to so many pages. */
async function read(service: string, state: State | "all", pages: number, signal: AbortSignal): Promise<Found> {
  const items: Letter[] = [];
  let cursor: string | null | undefined = null;
  for (let page = 0; page < pages; page += 1) {
    const query: { limit: number; state?: State; cursor?: string } = {
      limit: PAGE,
      ...(state === "all" ? {} : { state }),
      ...(cursor ? { cursor } : {}),
    };
    const found = await content(apiOf(service).GET("/service/v1/dead-letters", { params: { query }, signal }));
    items.push(...found.items.map((letter) => ({ ...letter, service })));
    cursor = found.next;
    if (!cursor) break;
  }
  return { items, more: Boolean(cursor) };
}

/** Read one letter, of whichever service has it. */
async function find(id: string, signal: AbortSignal): Promise<Letter> {
  const options = { params: { path: { id } }, signal };
  const asked = SERVICES.map(async (service) => ({
    ...(await content(apiOf(service).GET("/service/v1/dead-letters/{id}", options))),
    service,
  }));
  return Promise.any(asked).catch((error: AggregateError) => Promise.reject(error.errors[0] as Error));
}

export default function DeadLetters() {
  const t = useText();
  const queries = useQueryClient();
  const [search, change] = useAddress();
  const [pages, setPages] = useState(1);
  const service = search.get("service") ?? "";
  const state = STATES.find((name) => name === search.get("state")) ?? "pending";

  const asked = SERVICES.filter((name) => !service || name === service);
  const found = useQueries({
    queries: asked.map((name) => ({
      queryKey: ["dead-letters", name, state, pages],
      queryFn: ({ signal }: { signal: AbortSignal }) => read(name, state, pages, signal),
    })),
  });
  const shown = found.flatMap((one) => one.data?.items ?? []).sort((a, b) => b.died_at.localeCompare(a.died_at));
  const awaited = asked.filter((_, index) => found[index]?.isPending);
  const id = search.get("letter") ?? "";
  const listed = shown.find((letter) => letter.id === id);
  const linked = useQuery({
    queryKey: ["dead-letters", "linked", id],
    queryFn: ({ signal }) => find(id, signal),
    enabled: Boolean(id) && !listed,
  });
  const opened = listed ?? (id ? linked.data : undefined) ?? null;

  const columns: TableColumnsType<Letter> = [
    { title: t.dead.died, key: "died", width: 128, render: (_, letter) => <When at={letter.died_at} /> },
    { title: t.dead.service, key: "service", width: 130, render: (_, letter) => <Service name={letter.service} /> },
    {
      title: t.dead.subject,
      key: "subject",
      width: 280,
      ellipsis: true,
      render: (_, letter) => (
        <button type="button" className="plain name" aria-label={`${t.dead.inspect} ${letter.subject}`}>
          {letter.subject}
        </button>
      ),
    },
    {
      title: t.dead.error,
      key: "error",
      ellipsis: true,
      render: (_, letter) => <span className="failed">{letter.error}</span>,
    },
    { title: t.dead.district, dataIndex: "district", width: 76 },
    { title: t.dead.deliveries, dataIndex: "deliveries", width: 60, align: "right" },
    { title: t.dead.state, key: "state", width: 90, render: (_, letter) => <LetterState state={stateOf(letter)} /> },
  ];
  return (
    <div className="page">
      <header className="headline">
        <div>
          <h1>{t.dead.title}</h1>
          <span className="quiet">{t.dead.hint}</span>
        </div>
        <div className="actions">
          <Select
            aria-label={t.dead.service}
            placeholder={t.dead.service}
            value={service || null}
            options={SERVICES.map((value) => ({ value, label: value }))}
            onChange={(value: string | null) => change({ service: value ?? "" })}
            allowClear
            style={{ width: 140 }}
          />
          <Segmented
            aria-label={t.dead.state}
            value={state}
            options={STATES.map((value) => ({ value, label: t.dead[value] }))}
            onChange={(value) => change({ state: value === "pending" ? "" : value })}
          />
        </div>
      </header>
      {found.map((one, index) =>
        one.isError ? (
          <Trouble
            key={asked[index]}
            error={one.error}
            brief={`${t.problem.partly}: ${asked[index]}`}
            retry={() => void one.refetch()}
          />
        ) : null,
      )}
      {id && !listed && linked.isError && <Trouble error={linked.error} />}
      {awaited.length > 0 && (
        <p className="quiet" role="status">
          <Spin size="small" /> {t.dead.awaited(awaited.join(", "))}
        </p>
      )}
      <section className="table-card">
        <Table<Letter>
          size="small"
          rowKey="id"
          columns={columns}
          dataSource={shown}
          loading={awaited.length === asked.length}
          pagination={{ pageSize: 50, hideOnSinglePage: true, showSizeChanger: false }}
          tableLayout="fixed"
          rowClassName="row"
          onRow={(letter) => ({ onClick: () => change({ letter: letter.id }) })}
          locale={{
            emptyText: awaited.length ? (
              " "
            ) : (
              <Empty
                description={
                  <>
                    {t.dead.empty}
                    {state === "pending" && found.every((one) => one.isSuccess) && (
                      <p className="quiet">{t.dead.emptyHint}</p>
                    )}
                  </>
                }
              />
            ),
          }}
        />
        {found.some((one) => one.data?.more) && (
          <div className="more">
            <Button onClick={() => setPages(pages + 1)}>{t.dead.more}</Button>
          </div>
        )}
      </section>
      <DeadLetterDrawer
        letter={opened}
        close={() => change({ letter: "" })}
        decided={() => {
          change({ letter: "" });
          void queries.invalidateQueries({ queryKey: ["dead-letters"] });
        }}
      />
    </div>
  );
}

export function LetterState({ state }: { state: State }) {
  const t = useText();
  const status = { pending: "error", replayed: "success", discarded: "default" } as const;
  return <Badge status={status[state]} text={t.dead[state]} />;
}
