// The street's app opens this page with the reporter's token behind the #, which no server is sent.
const element = (id) => document.getElementById(id);
const code = location.pathname.split("/").pop();
const token = new URLSearchParams(location.hash.slice(1)).get("token");
history.replaceState(null, "", location.pathname); // it stays in no history and no screenshot

const api = (path, options = {}) =>
  fetch(`/tickets/v1${path}`, {
    ...options,
    headers: { Authorization: `Bearer ${token}`, ...options.headers },
    cache: "no-store",
    credentials: "omit",
  });

const show = (...ids) => {
  for (const id of ["status", "sign-in", "unknown", "form", "done"]) element(id).hidden = !ids.includes(id);
};

const say = (text, wrong = false) => {
  element("status").textContent = text;
  element("status").classList.toggle("wrong", wrong);
  element("status").hidden = !text;
};

const key = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const keys = { report: key(), photo: key() }; // whatever is sent again, by whomever, has its effect once
let ticket = null;

const refused = async (answer) => {
  if (answer.status === 401) return show("sign-in");
  const problem = await answer.json().catch(() => ({}));
  say(`${problem.detail_zh ?? "未能提交，请稍后再试。"} ${problem.detail ?? "It could not be sent. Please try again."}`, true);
};

const begin = async () => {
  if (!token) return show("sign-in");
  const answer = await api(`/codes/${encodeURIComponent(code)}`);
  if (answer.status === 401) return show("sign-in");
  if (answer.status === 404) return show("unknown");
  if (!answer.ok) return refused(answer);
  element("place").textContent = (await answer.json()).name;
  element("place").hidden = false;
  const kinds = await api("/categories?limit=200");
  if (kinds.ok) {
    for (const kind of (await kinds.json()).items) {
      if (kind.active === false || kind.form || kind.code === "other") continue;
      element("category").add(new Option(`${kind.name} ${kind.name_en ?? ""}`.trim(), kind.code));
    }
  }
  show("form");
  element("category").focus();
};

const send = async () => {
  const field = Object.fromEntries(new FormData(element("form")));
  if (!ticket) {
    const body = JSON.stringify({ category: field.category, title: field.title, description: field.description });
    const headers = { "Content-Type": "application/json", "Idempotency-Key": keys.report };
    const answer = await api(`/codes/${encodeURIComponent(code)}/tickets`, { method: "POST", headers, body });
    if (!answer.ok) {
      if (answer.status < 500) keys.report = key(); // what was refused is changed, and then another request
      return refused(answer);
    }
    ticket = (await answer.json()).id;
  }
  if (field.photo?.size) {
    const headers = { "Content-Type": field.photo.type, "Idempotency-Key": keys.photo };
    const answer = await api(`/tickets/${ticket}/files`, { method: "POST", headers, body: field.photo });
    if (!answer.ok) {
      keys.photo = key();
      element("photo").value = ""; // the report is there; sending again goes on without the photo, or with another
      return refused(answer);
    }
  }
  element("number").textContent = ticket;
  show("done");
  element("done").focus();
};

element("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = element("form").querySelector("button");
  if (button.disabled) return;
  button.disabled = true;
  say("正在提交… Sending…");
  try {
    await send();
  } catch {
    say("网络不通，请再试一次。 There is no connection. Please try again.", true);
  } finally {
    button.disabled = false;
  }
});

begin().catch(() => say("网络不通，请刷新重试。 There is no connection. Please load this page again.", true));
