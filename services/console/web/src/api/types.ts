/** Names for what the API answers, taken from its OpenAPI document. */
import type { paths } from "./schema.d.ts";

type Answer<Path extends keyof paths> = paths[Path] extends {
  get: { responses: { 200: { content: { "application/json": infer Content } } } };
}
  ? Content
  : never;

export type TracePage = Answer<"/console/v1/traces">;
export type TraceItem = TracePage["items"][number];
export type TraceFilter = NonNullable<paths["/console/v1/traces"]["get"]["parameters"]["query"]>;
export type Scatter = Answer<"/console/v1/traces/scatter">;
export type Trace = Answer<"/console/v1/traces/{trace_id}">;
export type Span = Trace["spans"][number];
export type Log = Trace["logs"][number];
export type Wait = Trace["waits"][number];
export type Happening = Answer<"/console/v1/subjects/{subject}">["items"][number];
export type ServiceMap = Answer<"/console/v1/map">;
export type Operation = Answer<"/console/v1/operations">["items"][number];
export type Me = Answer<"/console/v1/me">;
export type DeadLetter = Answer<"/service/v1/dead-letters">["items"][number];
