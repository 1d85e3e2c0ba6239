/** What the list of traces is narrowed to; it lives in the address, so that a link carries it. */
import { useMemo } from "react";

import { useAddress } from "./address.ts";
import type { TraceFilter } from "./api/types.ts";

export const RANGES = { "15m": 15, "1h": 60, "6h": 360, "24h": 1440, "7d": 10_080 } as const;
export type Range = keyof typeof RANGES;
const DEFAULT_RANGE: Range = "1h";
const NAMES = ["service", "operation", "unit", "error", "slower_than", "subject", "range", "since", "until"] as const;
export type Name = (typeof NAMES)[number];
export type Filters = Partial<Record<Name, string>>;

export function useFilters(): [Filters, (changes: Filters) => void] {
  const [params, change] = useAddress();
  const text = params.toString();
  const filters = useMemo(() => {
    const given = new URLSearchParams(text);
    return Object.fromEntries(NAMES.flatMap((name) => (given.get(name) ? [[name, given.get(name)]] : []))) as Filters;
  }, [text]);
  return [filters, change];
}

/** Nothing narrowed. */
export const NOTHING: Filters = Object.fromEntries(NAMES.map((name) => [name, ""]));

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
