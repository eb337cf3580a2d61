// The keyboard: single keys for the mailbox, arrows within the list and within the tabs.

import { byId } from "./elements.js";
import { links, openNext } from "./list.js";
import { deleteOpen, select } from "./mail.js";

const KEYS = {
  "/": () => byId("search").focus(),
  j: () => openNext(1),
  k: () => openNext(-1),
  Delete: deleteOpen,
};

export function pressKey(event) {
  const isForm = event.target.closest?.("input, textarea, select");
  if (isForm && event.key === "Escape") event.target.blur();
  if (isForm || event.ctrlKey || event.altKey || event.metaKey || !Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
}

export function moveInList(event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const all = links();
  const next = all[all.indexOf(document.activeElement) + step];
  if (!next) return;
  event.preventDefault();
  next.focus();
}

export function moveInTabs(event) {
  const tabs = [...document.querySelectorAll('[role="tab"]')];
  const at = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const tab = tabs[(to + tabs.length) % tabs.length];
  select(tab);
  tab.focus();
}
