/** Names of districts and streets, from the directory; where it can't be asked, codes do. */
import { queryOptions, useQueries, useQuery } from "@tanstack/react-query";

import { api, content } from "./api/client.ts";

const LONG = 10 * 60_000;
const MOST = 200;

const unit = (code: string) =>
  queryOptions({
    queryKey: ["unit", code],
    queryFn: ({ signal }) => content(api.GET("/directory/v1/units/{code}", { params: { path: { code } }, signal })),
    staleTime: LONG,
    retry: false,
  });

const children = (code: string) =>
  queryOptions({
    queryKey: ["units", code],
    queryFn: ({ signal }) =>
      content(
        api.GET("/directory/v1/units/{code}/children", { params: { path: { code }, query: { limit: MOST } }, signal }),
      ),
    staleTime: LONG,
    retry: false,
  });

/** District and street codes on the way to a unit: 310104003001 → 310104, 310104003. */
export const upTo = (code: string): string[] =>
  [6, 9].filter((length) => code.length >= length).map((length) => code.slice(0, length));

/** Say how a unit is called, by its district and street. */
export function useUnitNames(codes: (string | null | undefined)[]): (code: string | null | undefined) => string {
  const wanted = [...new Set(codes.flatMap((code) => (code && code !== "0" ? upTo(code) : [])))];
  const found = useQueries({ queries: wanted.map(unit) });
  const names = new Map(wanted.map((code, index) => [code, found[index]?.data?.name]));
  return (code) => {
    if (!code || code === "0") return "";
    const known = upTo(code).map((part) => names.get(part) ?? part);
    return known.length ? known.join(" · ") : code;
  };
}

/** What is directly under a unit; `0` is the platform. */
export function useChildren(code: string | null): { code: string; name: string }[] {
  return useQuery({ ...children(code ?? ""), enabled: code !== null }).data?.items ?? [];
}
