"use strict";

const SERVICES = ["directory", "residents", "tickets", "points", "bookings", "notifications", "console"];
const PATIENCE = 5000; // milliseconds

async function problemsOf(service) {
  const answer = await fetch(`/${service}/v1/openapi.json`, { signal: AbortSignal.timeout(PATIENCE) });
  if (!answer.ok) throw new Error(answer.statusText);
  return (await answer.json())["x-problems"];
}

function element(name, ...children) {
  const made = document.createElement(name);
  made.append(...children);
  return made;
}

function row({ type, status, title, title_zh, detail, detail_zh }, services) {
  const made = element(
    "tr",
    element("td", element("code", type)),
    element("td", String(status)),
    element("td", title_zh, element("br"), title),
    element("td", detail_zh, element("br"), detail),
    element("td", services.length > 1 ? "全部 all" : services[0]),
  );
  made.id = type.split(":").at(-1);
  return made;
}

async function show() {
  const answers = await Promise.allSettled(SERVICES.map(problemsOf));
  const kinds = new Map();
  const missing = [];
  answers.forEach(({ status, value }, index) => {
    if (status === "rejected") missing.push(SERVICES[index]);
    for (const problem of value ?? []) {
      const known = kinds.get(problem.type) ?? { problem, services: [] };
      known.services.push(SERVICES[index]);
      kinds.set(problem.type, known);
    }
  });
  const sorted = [...kinds.values()].sort((a, b) => (a.problem.type < b.problem.type ? -1 : 1));
  document.querySelector("tbody").replaceChildren(...sorted.map(({ problem, services }) => row(problem, services)));
  document.querySelector("#missing").hidden = missing.length === 0;
  document.querySelector("#missing span").textContent = missing.join(", ");
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

show();
