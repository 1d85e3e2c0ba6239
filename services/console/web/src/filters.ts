/** What the list of traces is narrowed to; it lives in the address, so that a link carries it. */
import { useCallback, useMemo } from "react";
import { useSearchParams } from "react-router";

import type { TraceFilter } from "./api/types.ts";

export const RANGES = { "15m": 15, "1h": 60, "6h": 360, "24h": 1440, "7d": 10_080 } as const;
export type Range = keyof typeof RANGES;
const DEFAULT_RANGE: Range = "1h";
const NAMES = ["service", "operation", "unit", "error", "slower_than", "subject", "range", "since", "until"] as const;
export type Name = (typeof NAMES)[number];
export type Filters = Partial<Record<Name, string>>;

export function useFilters(): [Filters, (change: Filters) => void, () => void] {
  const [search, setSearch] = useSearchParams();
  const text = search.toString();
  const filters = useMemo(() => {
    const params = new URLSearchParams(text);
    return Object.fromEntries(NAMES.flatMap((name) => (params.get(name) ? [[name, params.get(name)]] : []))) as Filters;
  }, [text]);
  const change = useCallback(
    (changes: Filters) =>
      setSearch(
        (before) => {
          const next = new URLSearchParams(before);
          for (const [name, value] of Object.entries(changes)) {
            if (value) next.set(name, value);
            else next.delete(name);
          }
          return next;
        },
        { replace: true },
      ),
    [setSearch],
  );
  const clear = useCallback(() => setSearch(new URLSearchParams(), { replace: true }), [setSearch]);
  return [filters, change, clear];
}

export const rangeOf = (filters: Filters): Range | "custom" =>
  filters.since ? "custom" : filters.range && filters.range in RANGES ? (filters.range as Range) : DEFAULT_RANGE;

/** Word the filters for the API; a range that ends now is counted from now. */
export function query(filters: Filters): TraceFilter {
  const range = rangeOf(filters);
  const since =
    range === "custom" ? (filters.since ?? "") : new Date(Date.now() - RANGES[range] * 60_000).toISOString();
  const slower = Number(filters.slower_than);
  return {
    since,
    ...(range === "custom" && filters.until ? { until: filters.until } : {}),
    ...(filters.service ? { service: filters.service } : {}),
    ...(filters.operation ? { operation: filters.operation } : {}),
    ...(filters.unit ? (filters.unit.length === 6 ? { district: filters.unit } : { unit: filters.unit }) : {}),
    ...(filters.error ? { error: true } : {}),
    ...(slower > 0 ? { slower_than: slower } : {}),
    ...(filters.subject ? { subject: filters.subject } : {}),
  };
}
