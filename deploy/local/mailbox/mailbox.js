// The mailbox page. The content of a mail is only inserted as text (textContent), or shown in a frame that runs no
// scripts and fetches nothing; no HTML is built from it.

const PAGE_SIZE = 50;
const REFRESH_MS = 2000;
const SEARCH_DELAY_MS = 250;

const byId = (id) => document.getElementById(id);
const tabs = [...document.querySelectorAll('[role="tab"]')];
const state = { query: "", offset: 0, shown: "", openId: "", asked: 0, fate: "" };
const LABELS = {
  accepted: "Accepted",
  delayed: "Delayed",
  delivered: "Delivered",
  rendering_failed: "Not rendered",
  rejected: "Rejected",
  bounced: "Bounced",
  complained: "Complained",
};

async function fetchJson(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function element(tag, text, properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  made.textContent = text;
  return made;
}

// The list

async function refresh() {
  const asked = ++state.asked; // ignore the response if a later request was made
  const parameters = new URLSearchParams({ q: state.query, limit: PAGE_SIZE, offset: state.offset });
  try {
    const [page, stats] = await Promise.all([fetchJson(`/admin/mails?${parameters}`), fetchJson("/admin/stats")]);
    if (asked !== state.asked) return;
    byId("offline").hidden = true;
    showFaults(stats.active_faults);
    showPage(page);
    await refreshFate();
  } catch {
    byId("offline").hidden = asked !== state.asked;
  }
}

function showPage(page) {
  if (page.total > 0 && state.offset >= page.total) {
    state.offset = 0;
    refresh();
    return;
  }
  const shown = JSON.stringify([page.total, state.offset, page.mails.map((mail) => [mail.message_id, mail.state])]);
  if (shown === state.shown) return;
  state.shown = shown;
  const focused = document.activeElement?.closest?.("#mails a")?.hash;
  byId("mails").replaceChildren(...page.mails.map(listItem));
  if (focused) linkTo(focused)?.focus();
  byId("empty").hidden = page.total > 0 || state.query !== "";
  byId("main").classList.toggle("blank", !byId("empty").hidden && byId("mail").hidden);
  byId("nothing").hidden = page.total > 0 || state.query === "";
  byId("newer").disabled = state.offset === 0;
  byId("older").disabled = state.offset + page.mails.length >= page.total;
  const first = state.offset + 1;
  const last = state.offset + page.mails.length;
  byId("range").textContent = page.total === 0 ? "0 mails" : `${first}–${last} of ${page.total.toLocaleString()}`;
  document.title = `(${page.kept.toLocaleString()}) Mailbox of the local SES`;
  markOpen();
}

function listItem(mail) {
  const link = element("a", "", { href: `#${encodeURIComponent(mail.message_id)}` });
  const accepted = new Date(mail.accepted_at);
  link.append(
    element("span", mail.subject || "(no subject)", { className: "subject" }),
    element("span", LABELS[mail.state], { className: `state ${mail.state}` }),
    element("span", [...mail.to, ...mail.cc, ...mail.bcc].join(", "), { className: "to" }),
    element("time", shortTime(accepted), { dateTime: mail.accepted_at, title: accepted.toLocaleString() }),
  );
  if (mail.answer_lost) link.append(element("span", lostText(mail.answer), { className: "lost" }));
  const item = document.createElement("li");
  item.append(link);
  return item;
}

function shortTime(time) {
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? time.toLocaleTimeString() : time.toLocaleDateString();
}

const lostText = (answer) => (answer === "hung" ? "answer delayed" : "answer dropped");
const linkTo = (hash) => [...document.querySelectorAll("#mails a")].find((link) => link.hash === hash);

function markOpen() {
  for (const link of document.querySelectorAll("#mails a")) {
    link.setAttribute("aria-current", String(link.hash === location.hash && location.hash !== ""));
  }
}

function showFaults(faults) {
  const banner = byId("faults");
  const named = Object.entries(faults).map(([name, value]) => element("code", `${name}: ${JSON.stringify(value)}`));
  const text = JSON.stringify(faults);
  if (banner.dataset.shown === text) return; // or a screen reader would read it every two seconds
  banner.dataset.shown = text;
  banner.hidden = named.length === 0;
  banner.replaceChildren("Simulated faults: ", ...named);
}

// One mail

async function open() {
  const id = decodeURIComponent(location.hash.slice(1));
  state.openId = id;
  markOpen();
  let mail = null;
  try {
    mail = id && id !== "mails" ? await fetchJson(`/admin/mails/${encodeURIComponent(id)}`) : null;
  } catch {
    byId("offline").hidden = false;
    return;
  }
  if (state.openId !== id) return;
  byId("mail").hidden = mail === null;
  byId("unchosen").hidden = mail !== null;
  byId("main").classList.toggle("reading", mail !== null);
  byId("unchosen").firstElementChild.textContent =
    id && id !== "mails" ? "That mail is no longer kept." : "Select a mail to read it.";
  if (mail) showMail(mail);
}

// What became of the open mail

async function refreshFate() {
  if (byId("mail").hidden) return;
  const id = state.openId;
  const mail = await fetchJson(`/admin/mails/${encodeURIComponent(id)}`);
  if (mail && state.openId === id) showFate(mail);
}

function showFate(mail) {
  const shown = JSON.stringify([mail.message_id, mail.state, mail.reports.length]);
  if (state.fate === shown) return; // or a screen reader would read it every two seconds
  state.fate = shown;
  byId("state").textContent = LABELS[mail.state];
  byId("state").className = `state ${mail.state}`;
  byId("reports").replaceChildren(...mail.reports.map((report) => reportItem(report, mail)));
}

function reportItem(report, mail) {
  const isReply = report.kind === "bounce" && report.state === "delivered";
  const words = isReply ? "Out-of-office reply" : LABELS[report.state];
  const about = report.recipients.length < [...mail.to, ...mail.cc, ...mail.bcc].length ? report.recipients.join(", ") : "";
  const item = document.createElement("li");
  const at = new Date(report.at);
  item.append(
    [words, report.detail, about].filter(Boolean).join(", "),
    " ",
    element("time", at.toLocaleTimeString(), { dateTime: report.at, title: at.toLocaleString() }),
  );
  return item;
}

async function report(event) {
  const id = state.openId;
  const body = JSON.stringify({ report: event.target.dataset.report });
  let said = "The local SES did not take the report.";
  try {
    const answer = await fetch(`/admin/mails/${encodeURIComponent(id)}/reports`, { method: "POST", body });
    const result = await answer.json();
    if (!answer.ok) said = result.message;
    else if (result.published) said = "Reported: an event goes to the queue.";
    else said = "Shown here only: without a queue and a configuration set no event is published.";
  } catch {
    byId("offline").hidden = false;
  }
  if (state.openId === id) byId("reported").textContent = said;
  refresh();
}

function showMail(mail) {
  byId("subject").textContent = mail.subject || "(no subject)";
  const doubts = mail.charset_doubts.map((part) => `${part}: not declared as UTF-8: SES would garble it`);
  const notes = [...(mail.answer_lost ? [lostText(mail.answer)] : []), ...doubts];
  byId("notes").replaceChildren(...notes.map((note) => element("span", note)));
  byId("notes").hidden = notes.length === 0;
  byId("envelope").replaceChildren(...envelope(mail));
  byId("reported").textContent = "";
  showFate(mail);
  showHtml(mail);
  byId("text").textContent = mail.text ?? "This mail has no text part.";
  fillTable("headers", mail.headers.map(({ name, value }) => [name, value]));
  fillTable("tags", Object.entries(mail.tags).map(([name, value]) => [name, value, findButton(`${name}:${value}`)]));
  select(byId(mail.html === null ? "tab-text" : "tab-html"));
  if (matchMedia("(max-width: 52rem)").matches) byId("subject").focus();
}

function envelope(mail) {
  const rows = [
    ["From", mail.from],
    ["To", mail.to.join(", ")],
    ["Cc", mail.cc.join(", ")],
    ["Bcc", mail.bcc.join(", ")],
    ["Reply to", mail.reply_to.join(", ")],
    ["Accepted", new Date(mail.accepted_at).toLocaleString(undefined, { dateStyle: "full", timeStyle: "medium" })],
    ["Configuration set", mail.configuration_set],
    ["Message id", mail.message_id],
  ];
  return rows
    .filter(([, value]) => value)
    .flatMap(([name, value]) => [
      element("dt", name),
      element("dd", value, { className: name === "Message id" ? "id" : "" }),
    ]);
}

function showHtml(mail) {
  const frame = byId("html");
  const fresh = frame.cloneNode(false); // a new address in the same frame would add to the browser's history
  fresh.hidden = mail.html === null;
  if (mail.html !== null) fresh.src = `/admin/mails/${encodeURIComponent(mail.message_id)}/html`;
  frame.replaceWith(fresh);
  byId("no-html").hidden = mail.html !== null;
}

function fillTable(id, rows) {
  const body = byId(id);
  body.replaceChildren(
    ...rows.map((cells) => {
      const row = document.createElement("tr");
      for (const cell of cells) {
        const column = document.createElement("td");
        column.append(cell);
        row.append(column);
      }
      return row;
    }),
  );
  body.parentElement.hidden = rows.length === 0;
  byId(`no-${id}`).hidden = rows.length > 0;
}

function findButton(words) {
  const button = element("button", "Find", { type: "button", title: "Find all mails with this tag" });
  button.setAttribute("aria-label", `Find all mails with ${words}`);
  button.addEventListener("click", () => searchFor(words));
  return button;
}

function select(tab) {
  for (const other of tabs) {
    const isChosen = other === tab;
    other.setAttribute("aria-selected", String(isChosen));
    other.tabIndex = isChosen ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !isChosen;
  }
}

function searchFor(words) {
  byId("search").value = words;
  state.query = words;
  state.offset = 0;
  refresh();
}

function turnPage(step) {
  state.offset = Math.max(0, state.offset + step * PAGE_SIZE);
  byId("mails").scrollTop = 0;
  refresh();
}

// Keyboard: arrows within the list and within the tabs

function moveInList(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const links = [...document.querySelectorAll("#mails a")];
  const next = links[links.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function moveInTabs(event) {
  const at = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const tab = tabs[(to + tabs.length) % tabs.length];
  select(tab);
  tab.focus();
}

let searchTimer;
byId("search").addEventListener("input", (event) => {
  clearTimeout(searchTimer);
  searchTimer = setTimeout(() => searchFor(event.target.value), SEARCH_DELAY_MS);
});
byId("search-form").addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(searchTimer);
  searchFor(byId("search").value);
});
byId("clear").addEventListener("click", () => searchFor(""));
byId("newer").addEventListener("click", () => turnPage(-1));
byId("older").addEventListener("click", () => turnPage(1));
byId("mails").addEventListener("keydown", moveInList);
for (const tab of tabs) {
  tab.addEventListener("click", () => select(tab));
  tab.addEventListener("keydown", moveInTabs);
}
for (const button of document.querySelectorAll("[data-report]")) button.addEventListener("click", report);
addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => document.hidden || refresh());
setInterval(() => document.hidden || refresh(), REFRESH_MS);

refresh();
open();
