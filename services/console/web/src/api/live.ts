/** New traces as they come: server-sent events, read with fetch because EventSource can't carry a token. */
import { authorised } from "./client.ts";
import { ProblemError, refusal } from "./problem.ts";
import type { TraceFilter, TraceItem } from "./types.ts";

type Listener = { onTrace: (item: TraceItem) => void; onOpen: () => void; onLost: (error: unknown) => void };

const FIRST_PAUSE = 300;
const LONGEST_PAUSE = 15_000;
/** The server lets its heart beat every 10 s; a stream that stays silent this long is dead. */
const SILENCE = 25_000;

/** Follow until the signal aborts: a stream that ends is opened again, later each time it fails. */
export async function follow(filter: TraceFilter, listener: Listener, signal: AbortSignal): Promise<void> {
  let pause = FIRST_PAUSE;
  while (!signal.aborted) {
    try {
      await listen(filter, listener, signal, () => (pause = FIRST_PAUSE));
    } catch (error) {
      if (signal.aborted) return;
      listener.onLost(error);
      const status = error instanceof ProblemError ? error.problem.status : 0;
      if (status >= 400 && status < 500 && status !== 429) return;
    }
    await new Promise((resolve) => setTimeout(resolve, pause * (0.75 + Math.random() / 2)));
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
}

async function listen(filter: TraceFilter, listener: Listener, signal: AbortSignal, opened: () => void): Promise<void> {
  const silence = new AbortController();
  const query = new URLSearchParams(
    Object.entries(filter).flatMap(([name, value]) => (value == null ? [] : [[name, String(value)]])),
  );
  let timer = setTimeout(() => silence.abort(), SILENCE);
  try {
    const request = new Request(`/console/v1/live?${query}`, { signal: AbortSignal.any([signal, silence.signal]) });
    const response = await authorised(request);
    if (!response.ok || !response.body) throw refusal(await response.json().catch(() => null), response.status);
    opened();
    listener.onOpen();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), SILENCE);
      const blocks = (rest + value.replaceAll("\r", "")).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) {
        const data = traceIn(block);
        if (data) listener.onTrace(JSON.parse(data) as TraceItem);
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

/** Give the data of a `trace` event; comments and other events have none. */
function traceIn(block: string): string | null {
  const lines = block.split("\n");
  if (!lines.some((line) => line.replace(/^event: ?/, "") === "trace" && line.startsWith("event"))) return null;
  return lines
    .filter((line) => line.startsWith("data:"))
    .map((line) => line.slice(5).trimStart())
    .join("\n");
}
