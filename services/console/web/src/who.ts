/** Who is signed in, as the service sees it. */
import { useQuery } from "@tanstack/react-query";

import { api, content } from "./api/client.ts";
import type { Me } from "./api/types.ts";

/** Whether dead letters are among what is to be seen; until it is known, they are. */
export function useMayReadLetters(): boolean {
  return useMe()?.roles.includes("operator") ?? true;
}

export function useMe(): Me | undefined {
  return useQuery({ queryKey: ["me"], queryFn: ({ signal }) => content(api.GET("/console/v1/me", { signal })) }).data;
}
