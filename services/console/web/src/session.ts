/** Who is signed in: the token, kept for this tab only, and how it is renewed. */
import { useSyncExternalStore } from "react";

import { forget, recall, remember, tab } from "./storage.ts";

export type Session = { token: string | null; expiresAt: number; expired: boolean };
type Credentials = { id: string; secret: string };

const KEY = "token";
const RENEW_BEFORE = 60_000;
const AGAIN_AFTER = 10_000;
/** Longest delay a browser's timer takes. */
const LONGEST = 2 ** 31 - 1;

let state: Session = { token: null, expiresAt: 0, expired: false };
/** In memory only: a reload asks for the secret again. */
let credentials: Credentials | null = null;
let timer: ReturnType<typeof setTimeout> | undefined;
const listeners = new Set<() => void>();

function change(next: Session): void {
  state = next;
  listeners.forEach((listener) => listener());
}

function claimsOf(token: string): Record<string, unknown> {
  try {
    const claims: unknown = JSON.parse(atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/")));
    return typeof claims === "object" && claims ? (claims as Record<string, unknown>) : {};
  } catch {
    return {}; // The server will say what is wrong with it.
  }
}

const expiry = (token: string): number => Number(claimsOf(token)["exp"] ?? Infinity) * 1000;

/** Tell whether two tokens let their bearers see the same. */
export function seesTheSame(one: string, other: string): boolean {
  const [mine, theirs] = [one, other].map((token) => {
    const { unit, roles } = claimsOf(token);
    return JSON.stringify([unit, roles]);
  });
  return mine === theirs;
}

function keep(token: string): void {
  const expiresAt = expiry(token);
  if (expiresAt <= Date.now()) {
    change({ ...state, expired: true });
    return;
  }
  remember(KEY, token, tab);
  change({ token, expiresAt, expired: false });
  clearTimeout(timer);
  const wait = expiresAt - Date.now() - (credentials ? RENEW_BEFORE : 0);
  if (wait < LONGEST) timer = setTimeout(() => void (credentials ? renew() : expire(token)), Math.max(wait, 0));
}

/** Take the token from the address, which forgets it at once, or from this tab's last visit. */
export function restore(): void {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) history.replaceState(history.state, "", location.pathname + location.search);
  const token = given ?? recall(KEY, tab);
  if (token) keep(token);
}

export function signIn(token: string): void {
  credentials = null;
  keep(token.trim().replace(/^Bearer\s+/i, ""));
}

export class SignInRefused extends Error {
  /** Whether it is no use to ask again. */
  final = true;
}

/** Get a token for a client's id and secret, and again before each ends. */
export async function signInAs(given: Credentials): Promise<void> {
  const token = await tokenFor(given);
  credentials = given;
  keep(token);
}

async function tokenFor(given: Credentials): Promise<string> {
  const form = { grant_type: "client_credentials", client_id: given.id, client_secret: given.secret };
  const response = await fetch("/directory/oauth/token", {
    method: "POST",
    body: new URLSearchParams(form),
    // The refusal names the Basic scheme: with credentials the browser would ask for them in a window of its own.
    credentials: "omit",
    signal: AbortSignal.timeout(15_000),
  });
  const answer = (await response.json().catch(() => ({}))) as Record<string, string>;
  if (!response.ok || !answer["access_token"]) {
    const words = answer["error_description"] ?? answer["detail_zh"] ?? `HTTP ${response.status}`;
    const refused = new SignInRefused(words);
    refused.final = response.status < 500 && response.status !== 429;
    throw refused;
  }
  return answer["access_token"];
}

async function renew(): Promise<void> {
  const own = credentials;
  if (!own) return;
  try {
    const token = await tokenFor(own);
    // Who has signed out meanwhile, or in as somebody else, is not signed in again.
    if (credentials === own) keep(token);
  } catch (error) {
    if (credentials !== own) return;
    if ((error instanceof SignInRefused && error.final) || Date.now() >= state.expiresAt) {
      credentials = null;
      expire(state.token);
    } else {
      timer = setTimeout(() => void renew(), AGAIN_AFTER);
    }
  }
}

/** A token was refused: ask again over what is on screen, unless there is a newer one already. */
export function expire(token: string | null): void {
  if (token && token === state.token) change({ ...state, expired: true });
}

export function signOut(): void {
  credentials = null;
  clearTimeout(timer);
  forget(KEY, tab);
  change({ token: null, expiresAt: 0, expired: false });
}

export const currentToken = (): string | null => state.token;

export function useSession(): Session {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => state,
  );
}
