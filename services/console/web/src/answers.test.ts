import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";

import { QueryClient, QueryObserver } from "@tanstack/react-query";

import { refresh } from "./answers.ts";

let issued = 0;
const token = (unit: string, ...roles: string[]): string =>
  `x.${btoa(JSON.stringify({ unit, roles, jti: (issued += 1) }))}.x`;

/** Show what a token was answered, and then give another; gives what is shown while that waits for its answers. */
async function shownAfter(first: string, second: string): Promise<unknown[]> {
  const queries = new QueryClient();
  queries.setQueryData(["not on screen"], "of the first");
  let answer: Promise<string> = Promise.resolve("of the first");
  const observer = new QueryObserver(queries, { queryKey: ["shown"], queryFn: () => answer });
  const leave = observer.subscribe(() => undefined);
  await setTimeout(20);
  assert.equal(observer.getCurrentResult().data, "of the first");
  answer = new Promise(() => undefined);
  refresh(queries, first, second);
  await setTimeout(20);
  const shown = [observer.getCurrentResult().data, queries.getQueryData(["not on screen"])];
  assert.ok(observer.getCurrentResult().isFetching);
  leave();
  queries.clear();
  return shown;
}

test("what was answered stays on screen while a token is renewed", async () => {
  const shown = await shownAfter(token("310104", "operator"), token("310104", "operator"));
  assert.deepEqual(shown, ["of the first", "of the first"]);
});

test("what was answered to somebody who sees more is not shown to the next", async () => {
  const operator = token("0", "operator");
  for (const next of [token("310104", "operator"), token("0", "resident"), "no token"]) {
    assert.deepEqual(await shownAfter(operator, next), [undefined, undefined], next);
  }
});
