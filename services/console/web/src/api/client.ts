/** The typed way to the platform: every call carries the token, has a time-out, and fails with a ProblemError. */
import createClient from "openapi-fetch";

import { currentToken, expire } from "../session.ts";
import { refusal } from "./problem.ts";
import type { paths } from "./schema.d.ts";

const PATIENCE = 30_000;

/** Send a request in the signed-in operator's name; a refused token makes the page ask for another. */
export async function authorised(request: Request): Promise<Response> {
  const token = currentToken();
  if (token) request.headers.set("Authorization", `Bearer ${token}`);
  const response = await fetch(request, { credentials: "omit" });
  if (response.status === 401) expire(token);
  return response;
}

function patient(request: Request): Promise<Response> {
  return authorised(new Request(request, { signal: AbortSignal.any([request.signal, AbortSignal.timeout(PATIENCE)]) }));
}

export const api = createClient<paths>({ baseUrl: location.origin, fetch: patient });

/** Give the way to one service's dead letters: they are described once, as those of a `service`. */
export function apiOf(service: string): typeof api {
  const elsewhere = (request: Request): Promise<Response> =>
    patient(new Request(request.url.replace("/service/v1/", `/${service}/v1/`), request));
  return createClient<paths>({ baseUrl: location.origin, fetch: elsewhere });
}

/** Give the answer's content, or throw the problem. */
export async function content<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await call;
  if (!response.ok || data === undefined) throw refusal(error, response.status);
  return data;
}
