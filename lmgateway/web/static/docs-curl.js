// An operation as a curl command.

import { exampleOf, target } from "./docs-target.js";

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The curl command for an operation, with example values. `base` is the gateway's URL. */
export function curl(base, { method, path, parameters, body, needsKey, isStream }) {
  const words = ["curl"];
  if (isStream) words.push("-N");
  if (method === "HEAD") words.push("-I");
  else if (method !== (body === null ? "GET" : "POST")) words.push(`-X ${method}`);
  const url = base + target(path, parameters, exampleOf);
  words.push(url.includes("?") ? quoted(url) : url);
  const lines = [words.join(" ")];
  // In double quotes, so that the shell expands $KEY.
  if (needsKey) lines.push('-H "Authorization: Bearer $KEY"');
  if (body?.isJson) lines.push("-H 'Content-Type: application/json'", `-d ${quoted(JSON.stringify(body.example, null, 2))}`);
  else if (body !== null) lines.push("--data-binary @file");
  return lines.join(" \\\n  ");
}
