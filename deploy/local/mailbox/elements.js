// Elements of the page. The content of a mail is only inserted as text; no HTML is built from it.

export const byId = (id) => document.getElementById(id);

export function element(tag, text, properties = {}) {
  const made = Object.assign(document.createElement(tag), properties);
  made.textContent = text;
  return made;
}

// A name and an address, each kept apart from its neighbours if it is written from right to left.
export function personElement({ name, address }) {
  const person = element("span", "", { className: "person" });
  if (name) person.append(element("bdi", name, { className: "name" }), " ");
  person.append(element("bdi", address, { className: "address" }));
  return person;
}

export function timeElement(value, write) {
  const time = new Date(value);
  return element("time", write(time), { dateTime: value, title: time.toLocaleString() });
}

export const STATES = {
  accepted: "Accepted",
  delayed: "Delayed",
  delivered: "Delivered",
  rendering_failed: "Not rendered",
  rejected: "Rejected",
  bounced: "Bounced",
  complained: "Complained",
};

export const lostText = (answer) => (answer === "hung" ? "answer delayed" : "answer dropped");
