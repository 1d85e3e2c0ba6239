/** What the page keeps in its address, so that a link carries it. */
import { useCallback } from "react";
import { useSearchParams } from "react-router";

export type Changes = Record<string, string | null | undefined>;

/** Give the address's parameters, and a way to change some of them; an empty one goes. */
export function useAddress(): [URLSearchParams, (changes: Changes) => void] {
  const [params, setParams] = useSearchParams();
  const change = useCallback(
    (changes: Changes) => {
      // As the address is now: what was last rendered may be a change behind.
      const next = new URLSearchParams(location.search);
      for (const [name, value] of Object.entries(changes)) {
        if (value) next.set(name, value);
        else next.delete(name);
      }
      setParams(next, { replace: true });
    },
    [setParams],
  );
  return [params, change];
}
