// The list of mails: one page of those that match the search, newest first.

import { byId, element, lostText, personElement, STATES, timeElement } from "./elements.js";
import { ask } from "./server.js";

const PAGE_SIZE = 50;
const state = { query: "", offset: 0, total: 0, shown: "", refreshed: Promise.resolve() };

export const links = () => [...document.querySelectorAll("#mails a")];
export const openLink = () => links().find((link) => location.hash !== "" && link.hash === location.hash);

// Show what has changed, and return whether a mail has; one call after the other, so that the last one wins.
export function refresh() {
  state.refreshed = state.refreshed.catch(() => {}).then(showChanges);
  return state.refreshed;
}

async function showChanges() {
  const stats = await ask("/admin/stats");
  showBanner("faults", Object.entries(stats.active_faults).map(([name, value]) => `${name}: ${JSON.stringify(value)}`));
  showBanner("file-fault", stats.mail_file_fault ? [stats.mail_file_fault] : []);
  const wanted = JSON.stringify([stats.mails_version, state.query, state.offset]);
  if (state.shown === wanted) return false;
  const parameters = new URLSearchParams({ q: state.query, limit: PAGE_SIZE, offset: state.offset });
  const page = await ask(`/admin/mails?${parameters}`);
  if (page.total > 0 && state.offset >= page.total) {
    state.offset = 0;
    return showChanges();
  }
  state.shown = wanted;
  showPage(page);
  return true;
}

function showBanner(id, texts) {
  const banner = byId(id);
  const shown = JSON.stringify(texts);
  if (banner.dataset.shown === shown) return; // or a screen reader would read it every two seconds
  banner.dataset.shown = shown;
  banner.hidden = texts.length === 0;
  banner.replaceChildren(banner.dataset.title ?? "", ...texts.map((text) => element("code", text)));
}

function showPage(page) {
  state.total = page.total;
  const focused = document.activeElement?.closest?.("#mails a")?.hash;
  byId("mails").replaceChildren(...page.mails.map(listItem));
  if (focused) links().find((link) => link.hash === focused)?.focus();
  byId("empty").hidden = page.total > 0 || state.query !== "";
  byId("nothing").hidden = page.total > 0 || state.query === "";
  byId("newer").disabled = state.offset === 0;
  byId("older").disabled = !hasOlder();
  byId("delete-all").disabled = page.kept === 0;
  byId("delete-all").dataset.kept = page.kept;
  const last = state.offset + page.mails.length;
  byId("range").textContent =
    page.total === 0 ? "0 mails" : `${state.offset + 1}–${last} of ${page.total.toLocaleString("en")}`;
  document.title = `${page.unread ? `(${page.unread.toLocaleString("en")}) ` : ""}Mailbox of the local SES`;
  markOpen();
}

function listItem(mail) {
  const link = element("a", "", { href: `#${encodeURIComponent(mail.message_id)}`, className: mail.read ? "" : "unread" });
  const people = element("span", "", { className: "to" });
  people.append(...[...mail.people.to, ...mail.people.cc, ...mail.people.bcc].map(personElement));
  link.append(
    element("bdi", mail.subject || "(no subject)", { className: "subject" }),
    element("span", STATES[mail.state], { className: `state ${mail.state}` }),
    people,
    timeElement(mail.accepted_at, shortTime),
  );
  if (!mail.read) link.prepend(element("span", "Unread", { className: "unseen" }));
  if (mail.answer_lost) link.append(element("span", lostText(mail.answer), { className: "lost" }));
  const item = document.createElement("li");
  item.append(link);
  return item;
}

function shortTime(time) {
  const isToday = time.toDateString() === new Date().toDateString();
  return isToday ? time.toLocaleTimeString() : time.toLocaleDateString();
}

export function markOpen() {
  const open = openLink();
  for (const link of links()) link.setAttribute("aria-current", String(link === open));
  byId("main").classList.toggle("blank", !byId("empty").hidden && byId("mail").hidden);
}

export function searchFor(words) {
  byId("search").value = words;
  return show(words, 0);
}

function show(query, offset) {
  Object.assign(state, { query, offset });
  return refresh();
}

const hasOlder = () => state.offset + links().length < state.total;

export async function turnPage(step) {
  if (step > 0 ? !hasOlder() : state.offset === 0) return false;
  byId("mails").scrollTop = 0;
  await show(state.query, Math.max(0, state.offset + step * PAGE_SIZE));
  return true;
}

// Open the mail that is *step* from the open one, if need be on the next page; without an open one, the first.
export async function openNext(step) {
  const all = links();
  const next = all[all.indexOf(openLink()) + step];
  if (next) openMail(next);
  else if (openLink() && (await turnPage(step))) openMail(links().at(step > 0 ? 0 : -1));
}

function openMail(link) {
  if (location.hash) location.replace(link.hash); // one entry in the browser's history is enough
  else location.hash = link.hash;
  link.focus();
}

// Return the hash to go to when the open mail is deleted.
export function hashAfterDeletion() {
  const all = links();
  const at = all.indexOf(openLink());
  return (all[at + 1] ?? all[at - 1])?.hash ?? "#";
}
