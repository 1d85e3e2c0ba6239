import assert from "node:assert/strict";
import { afterEach, mock, test } from "node:test";
import { setImmediate } from "node:timers/promises";

import { currentToken, restore, signIn, signInAs, signOut } from "./session.ts";

const client = { id: "client", secret: String(Math.random()) };
const kept = new Map<string, string>();
const tab = {
  getItem: (key: string) => kept.get(key) ?? null,
  setItem: (key: string, value: string) => void kept.set(key, value),
  removeItem: (key: string) => void kept.delete(key),
};
const location = { hash: "", pathname: "/console/traces", search: "" };
const history = { state: null, replaceState: () => (location.hash = "") };
Object.assign(globalThis, { location, history });

function keepIn(storage: () => typeof tab): void {
  Object.defineProperty(globalThis, "sessionStorage", { configurable: true, get: storage });
}

const token = (id: string, seconds: number, claims: object = {}): string =>
  `x.${btoa(JSON.stringify({ exp: Date.now() / 1000 + seconds, jti: id, ...claims }))}.x`;

type Answer = (given: string, status?: number) => Promise<void>;

/** Answer token requests, each when it is told to. */
function directory(): Answer[] {
  const waiting: Answer[] = [];
  globalThis.fetch = () =>
    new Promise((answer) =>
      waiting.push(async (given, status = 200) => {
        answer(Response.json({ access_token: given }, { status }));
        await setImmediate();
        await setImmediate();
      }),
    );
  return waiting;
}

/** Sign in with a token that ends soon, and wait until another is asked for. */
async function renewing(): Promise<Answer> {
  const waiting = directory();
  const done = signInAs(client);
  await waiting[0]?.(token("first", 30));
  await done;
  while (!waiting[1]) await new Promise((resolve) => setTimeout(resolve, 1));
  return waiting[1];
}

keepIn(() => tab);
afterEach(() => {
  keepIn(() => tab);
  signOut();
  mock.timers.reset();
});

test("a token is renewed before it ends", async () => {
  const answer = await renewing();
  const second = token("second", 600);
  await answer(second);
  assert.equal(currentToken(), second);
  assert.equal(kept.get("linli.token"), second);
});

test("who signs out while a token is renewed stays signed out", async () => {
  const answer = await renewing();
  signOut();
  await answer(token("second", 600));
  assert.equal(currentToken(), null);
  assert.equal(kept.size, 0);
});

test("who signs in while another's token is renewed is not taken for him", async () => {
  const answer = await renewing();
  const own = token("own", 600);
  signIn(own);
  await answer(token("second", 600));
  assert.equal(currentToken(), own);
});

test("a directory that is away for a moment signs nobody out", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const waiting = directory();
  const done = signInAs(client);
  await waiting[0]?.(token("first", 300));
  await done;
  for (const status of [503, 429]) {
    mock.timers.tick(241_000);
    await waiting.at(-1)?.("", status);
  }
  mock.timers.tick(13_000);
  const second = token("second", 600);
  assert.equal(waiting.length, 4);
  await waiting[3]?.(second);
  assert.equal(currentToken(), second);
});

test("a secret that is good no longer is not asked with again", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const waiting = directory();
  const done = signInAs(client);
  await waiting[0]?.(token("first", 300));
  await done;
  mock.timers.tick(241_000);
  await waiting[1]?.("", 401);
  mock.timers.tick(241_000);
  assert.equal(waiting.length, 2);
});

test("a browser that keeps nothing lets people in", () => {
  keepIn(() => {
    throw new DOMException("denied", "SecurityError");
  });
  restore();
  assert.equal(currentToken(), null);
  const given = token("given", 600);
  location.hash = `#token=${given}`;
  restore();
  assert.equal(currentToken(), given);
  assert.equal(location.hash, "");
  signOut();
  assert.equal(currentToken(), null);
});
