// The open mail. Its HTML is shown in a frame that runs no scripts and fetches nothing.

import { byId, element, lostText, personElement, STATES, timeElement } from "./elements.js";
import { hashAfterDeletion, markOpen, openLink, refresh, searchFor } from "./list.js";
import { ask, mailPath } from "./server.js";

const tabs = [...document.querySelectorAll('[role="tab"]')];
const open = { id: "", mail: null, fate: "" };

// Show the mail that the address names, and mark it as read.
export async function openNamed() {
  const id = decodeURIComponent(location.hash.slice(1));
  const isNamed = id !== "" && id !== "mails";
  open.id = id;
  const mail = isNamed ? await ask(mailPath(id)) : null;
  if (open.id !== id) return;
  open.mail = mail;
  byId("mail").hidden = mail === null;
  byId("unchosen").hidden = mail !== null;
  byId("main").classList.toggle("reading", mail !== null);
  byId("unchosen").firstElementChild.textContent = isNamed ? "That mail is no longer kept." : "Select a mail to read it.";
  markOpen();
  if (mail === null) return;
  showMail(mail);
  if (!mail.read) await mark(true);
}

async function mark(read) {
  await ask(mailPath(open.id), { method: "PATCH", body: { read } });
  byId("unread").disabled = !read;
  await refresh();
}

export const markUnread = () => open.mail && mark(false);

export async function deleteOpen() {
  if (open.mail === null) return;
  const next = hashAfterDeletion();
  await ask(mailPath(open.id), { method: "DELETE" });
  location.replace(next);
  await refresh();
  if (!document.activeElement?.closest("input")) openLink()?.focus(); // somebody may type a search by now
}

function showMail(mail) {
  byId("subject").textContent = mail.subject || "(no subject)";
  const doubts = mail.charset_doubts.map((part) => `${part}: not declared as UTF-8: SES would garble it`);
  const notes = [...(mail.answer_lost ? [lostText(mail.answer)] : []), ...doubts];
  byId("notes").replaceChildren(...notes.map((note) => element("span", note)));
  byId("notes").hidden = notes.length === 0;
  byId("envelope").replaceChildren(...envelope(mail));
  byId("eml").href = mailPath(mail.message_id, "/eml");
  byId("unread").disabled = false;
  byId("reported").textContent = "";
  showFate(mail);
  showHtml();
  byId("text").textContent = mail.text ?? "This mail has no text part.";
  fillTable("headers", mail.headers.map(({ name, value }) => [name, value]));
  fillTable("tags", Object.entries(mail.tags).map(([name, value]) => [name, value, findButton(`${name}:${value}`)]));
  select(byId(mail.html === null ? "tab-text" : "tab-html"));
  if (matchMedia("(max-width: 52rem)").matches) byId("subject").focus();
}

function envelope(mail) {
  const accepted = (time) => time.toLocaleString(undefined, { dateStyle: "full", timeStyle: "medium" });
  const rows = [
    ["From", mail.people.from.map(personElement)],
    ["To", mail.people.to.map(personElement)],
    ["Cc", mail.people.cc.map(personElement)],
    ["Bcc", mail.people.bcc.map(personElement)],
    ["Reply to", mail.people.reply_to.map(personElement)],
    ["Accepted", [timeElement(mail.accepted_at, accepted)]],
    ["Configuration set", mail.configuration_set ? [mail.configuration_set] : []],
    ["Message id", [element("span", mail.message_id, { className: "id" })]],
  ];
  return rows
    .filter(([, values]) => values.length > 0)
    .flatMap(([name, values]) => {
      const value = element("dd", "");
      value.append(...values);
      return [element("dt", name), value];
    });
}

// The HTML part, as wide and in the colours that are chosen

export function showHtml() {
  if (open.mail === null) return;
  const { html, message_id: id } = open.mail;
  const frame = byId("html");
  const fresh = frame.cloneNode(false); // a new address in the same frame would add to the browser's history
  const { width, scheme } = document.forms.view.elements;
  fresh.hidden = html === null;
  fresh.className = scheme.value;
  fresh.style.width = width.value ? `${width.value}px` : "";
  if (html !== null) fresh.src = mailPath(id, `/html?scheme=${scheme.value}`);
  frame.replaceWith(fresh);
  byId("view").hidden = html === null;
  byId("no-html").hidden = html !== null;
}

// What became of it

export async function refreshFate() {
  if (open.mail === null) return;
  const mail = await ask(mailPath(open.id));
  if (mail && open.id === mail.message_id) showFate(mail);
}

function showFate(mail) {
  const shown = JSON.stringify([mail.message_id, mail.state, mail.reports.length]);
  if (open.fate === shown) return; // or a screen reader would read it every two seconds
  open.fate = shown;
  byId("state").textContent = STATES[mail.state];
  byId("state").className = `state ${mail.state}`;
  byId("reports").replaceChildren(...mail.reports.map((report) => reportItem(report, mail)));
}

function reportItem(report, mail) {
  const isReply = report.kind === "bounce" && report.state === "delivered";
  const words = isReply ? "Out-of-office reply" : STATES[report.state];
  const isAboutAll = report.recipients.length === mail.to.length + mail.cc.length + mail.bcc.length;
  const about = isAboutAll ? "" : report.recipients.join(", ");
  const item = document.createElement("li");
  item.append([words, report.detail, about].filter(Boolean).join(", "), " ");
  item.append(timeElement(report.at, (time) => time.toLocaleTimeString()));
  return item;
}

export async function report(event) {
  const { id } = open;
  let said = "The local SES did not take the report.";
  try {
    const result = await ask(mailPath(id, "/reports"), { method: "POST", body: { report: event.target.dataset.report } });
    said = result?.published
      ? "Reported: an event goes to the queue."
      : "Shown here only: without a queue and a configuration set no event is published.";
  } catch (error) {
    said = error.message;
  }
  if (open.id === id) byId("reported").textContent = said;
  if (await refresh()) await refreshFate();
}

// The parts of the mail

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

export function select(tab) {
  for (const other of tabs) {
    const isChosen = other === tab;
    other.setAttribute("aria-selected", String(isChosen));
    other.tabIndex = isChosen ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = !isChosen;
  }
}
