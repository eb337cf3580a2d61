// The mailbox page: what its buttons do, and the look at the local SES every two seconds.

import { byId } from "./elements.js";
import { moveInList, moveInTabs, pressKey } from "./keys.js";
import { refresh, searchFor, turnPage } from "./list.js";
import { deleteOpen, markUnread, openNamed, refreshFate, report, select, showHtml } from "./mail.js";
import { ask } from "./server.js";

const REFRESH_MS = 2000;
const SEARCH_DELAY_MS = 250;

async function look() {
  if (!document.hidden && (await refresh())) await refreshFate();
}

async function keepLooking() {
  try {
    await look();
  } finally {
    setTimeout(keepLooking, REFRESH_MS);
  }
}

async function deleteAll(event) {
  const kept = Number(event.target.dataset.kept);
  if (!confirm(kept === 1 ? "Delete the mail?" : `Delete all ${kept.toLocaleString("en")} mails?`)) return;
  await ask("/admin/mails", { method: "DELETE" });
  location.hash = "";
  await searchFor("");
}

function onClick(id, action) {
  byId(id).addEventListener("click", action);
}

function wireSearch() {
  let timer;
  byId("search").addEventListener("input", (event) => {
    clearTimeout(timer);
    timer = setTimeout(() => searchFor(event.target.value), SEARCH_DELAY_MS);
  });
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    searchFor(byId("search").value);
  });
  onClick("clear", () => searchFor(""));
}

function wireList() {
  onClick("newer", () => turnPage(-1));
  onClick("older", () => turnPage(1));
  onClick("delete-all", deleteAll);
  byId("mails").addEventListener("keydown", moveInList);
}

function wireMail() {
  onClick("unread", markUnread);
  onClick("delete", deleteOpen);
  for (const tab of document.querySelectorAll('[role="tab"]')) {
    tab.addEventListener("click", () => select(tab));
    tab.addEventListener("keydown", moveInTabs);
  }
  for (const button of document.querySelectorAll("[data-report]")) button.addEventListener("click", report);
  document.forms.view.addEventListener("change", showHtml);
  document.forms.view.addEventListener("submit", (event) => event.preventDefault());
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  document.forms.view.elements.scheme.value = isDark ? "dark" : "light";
}

wireSearch();
wireList();
wireMail();
addEventListener("keydown", pressKey);
addEventListener("hashchange", openNamed);
document.addEventListener("visibilitychange", look);
// The banner has said it already if the local SES does not answer.
addEventListener("unhandledrejection", (event) => byId("offline").hidden || event.preventDefault());
keepLooking();
openNamed();
