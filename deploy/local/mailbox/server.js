// Requests to the local SES.

import { byId } from "./elements.js";

export const mailPath = (id, part = "") => `/admin/mails/${encodeURIComponent(id)}${part}`;

// Return the answer, or null if there is no such mail; throw if the local SES does not answer, and show that.
export async function ask(path, { method = "GET", body } = {}) {
  let answer;
  try {
    answer = await fetch(path, { method, body: body && JSON.stringify(body) });
  } catch (error) {
    byId("offline").hidden = false;
    throw error;
  }
  byId("offline").hidden = true;
  if (answer.status === 404) return null;
  const result = await answer.json();
  if (!answer.ok) throw new Error(result.message);
  return result;
}
