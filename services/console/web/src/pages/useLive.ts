/** Traces as they come, kept apart from the list while somebody reads it. */
import { useCallback, useEffect, useRef, useState } from "react";

import { follow } from "../api/live.ts";
import type { TraceItem } from "../api/types.ts";
import { query, type Filters } from "../filters.ts";

/** The newest are kept; who pauses for long reads the rest from the list. */
const MOST = 300;
/** Many at once are shown together. */
const SHOW_EVERY = 250;

export type LiveState = "off" | "on" | "paused" | "lost";
export type Live = {
  state: LiveState;
  items: TraceItem[];
  waiting: number;
  start: () => void;
  stop: () => void;
  pause: () => void;
  resume: () => void;
};

export function useLive(filters: Filters, token: string | null, catchUp: () => void): Live {
  const [running, setRunning] = useState(false);
  const [paused, setPaused] = useState(false);
  const [lost, setLost] = useState(false);
  const [items, setItems] = useState<TraceItem[]>([]);
  const [waiting, setWaiting] = useState(0);
  const arrived = useRef<TraceItem[]>([]);
  const holding = useRef(false);
  const missed = useRef(catchUp);
  missed.current = catchUp;

  const show = useCallback(() => {
    const fresh = arrived.current;
    if (holding.current) {
      setWaiting(fresh.length);
    } else if (fresh.length) {
      arrived.current = [];
      setWaiting(0);
      setItems((shown) => merge(fresh, shown));
    }
  }, []);

  useEffect(() => {
    setItems([]);
    setWaiting(0);
    arrived.current = [];
    if (!running || !token) return undefined;
    const end = new AbortController();
    let opened = 0;
    const onTrace = (item: TraceItem): void => {
      arrived.current = merge([item], arrived.current);
    };
    const onOpen = (): void => {
      setLost(false);
      if (opened++) missed.current();
    };
    const { since: _, until: __, ...filter } = query(filters);
    void follow(filter, { onTrace, onOpen, onLost: () => setLost(true) }, end.signal);
    const timer = setInterval(show, SHOW_EVERY);
    return () => {
      end.abort();
      clearInterval(timer);
    };
  }, [running, filters, token, show]);

  const hold = (on: boolean): void => {
    holding.current = on;
    setPaused(on);
    show();
  };
  return {
    state: !running ? "off" : paused ? "paused" : lost ? "lost" : "on",
    items,
    waiting,
    start: () => {
      hold(false);
      setRunning(true);
    },
    stop: () => {
      setRunning(false);
      setLost(false);
    },
    pause: () => hold(true),
    resume: () => hold(false),
  };
}

/** Put new ones first; one that grew replaces what it was. */
export function merge(fresh: TraceItem[], shown: TraceItem[]): TraceItem[] {
  const known = new Map([...shown.toReversed(), ...fresh.toReversed()].map((item) => [item.trace_id, item]));
  return [...known.values()].sort((a, b) => b.started_at.localeCompare(a.started_at)).slice(0, MOST);
}
