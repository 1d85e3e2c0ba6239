import type { DeadLetter } from "../api/types.ts";

/** A dead letter, and which service could not handle it. */
export type Letter = DeadLetter & { service: string };
export type State = "pending" | "replayed" | "discarded";

export const stateOf = (letter: DeadLetter): State =>
  letter.replayed_at ? "replayed" : letter.discarded_at ? "discarded" : "pending";

/** Give the trace a message was part of (W3C traceparent). */
export function traceOf(letter: DeadLetter): string | null {
  const header = Object.entries(letter.headers).find(([name]) => name.toLowerCase() === "traceparent")?.[1];
  return /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(header ?? "")?.[1] ?? null;
}

/** Set a payload out in lines when it is JSON. */
export function readable(payload: string): string {
  try {
    return JSON.stringify(JSON.parse(payload), null, 2);
  } catch {
    return payload;
  }
}

/** A key that makes a repeated request the same request; `crypto.randomUUID` needs TLS. */
export function idempotencyKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
