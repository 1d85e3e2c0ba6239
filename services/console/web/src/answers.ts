/** What was answered before there was another token. */
import type { QueryClient } from "@tanstack/react-query";

import { seesTheSame } from "./session.ts";

/** Ask again for what is on screen; what somebody else was answered, who may see other things, is gone at once. */
export function refresh(queries: QueryClient, before: string | null, token: string | null): void {
  if (!token) queries.clear();
  else if (before && !seesTheSame(before, token)) void queries.resetQueries();
  else if (before !== token) void queries.invalidateQueries();
}
