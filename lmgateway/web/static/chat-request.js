// A chat with a model: one streamed request, as pieces of reasoning and of the answer.

import { ApiError, request } from "./api.js";
import { SseParser } from "./sse.js";

const BROKEN = "The connection was lost in the middle of the answer.";
const UNREADABLE = "LM Studio's answer can't be read: it isn't a stream of OpenAI's API.";
const NO_STREAM = "The gateway's answer isn't a stream, so it can't be shown.";

/** A fresh id, by which the request is found in the line. */
export const newRequestId = () => `chat-${Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;

/**
 * Send the conversation. Calls `onKeepAlive()` when the gateway says that the request still waits, and
 * `onPiece({reasoning, content})` for each piece. Resolves to {model, usage, finish} at the end of the answer. Throws
 * ApiError; if `signal` was aborted, whatever fetch() throws.
 */
export async function chat(body, { requestId, signal, onKeepAlive, onPiece }) {
  const headers = { "Content-Type": "application/json", "X-Request-Id": requestId };
  const asked = { ...body, stream: true, stream_options: { include_usage: true } };
  const response = await request("POST", "v1/chat/completions", { headers, body: JSON.stringify(asked), signal });
  if (!response.headers.get("Content-Type")?.startsWith("text/event-stream")) throw new ApiError(0, NO_STREAM);
  const answer = { model: null, usage: null, finish: null, isEnded: false };
  const parser = new SseParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await read(reader, signal);
    if (done) break;
    const events = parser.feed(value);
    for (const { data } of events) take(answer, data, onPiece);
    // A keep-alive is a comment, which is no event, or a chunk without a text.
    if (answer.model === null) onKeepAlive();
  }
  if (!answer.isEnded) throw new ApiError(0, BROKEN);
  return answer;
}

async function read(reader, signal) {
  try {
    return await reader.read();
  } catch (error) {
    if (signal.aborted) throw error;
    throw new ApiError(0, BROKEN);
  }
}

function take(answer, data, onPiece) {
  if (data === "[DONE]") {
    answer.isEnded = true;
    return;
  }
  const chunk = parsed(data);
  if (chunk.error) throw new ApiError(0, chunk.error.message ?? String(chunk.error));
  answer.model = chunk.model || answer.model;
  answer.usage = chunk.usage ?? answer.usage;
  const choice = chunk.choices?.[0];
  if (!choice) return;
  const delta = choice.delta ?? {};
  answer.finish = choice.finish_reason ?? answer.finish;
  if (answer.finish !== null) answer.isEnded = true;
  const piece = { reasoning: delta.reasoning_content ?? delta.reasoning ?? "", content: delta.content ?? "" };
  if (piece.reasoning !== "" || piece.content !== "") onPiece(piece);
}

function parsed(data) {
  try {
    const chunk = JSON.parse(data);
    if (typeof chunk === "object" && chunk !== null) return chunk;
  } catch {
    // As below.
  }
  throw new ApiError(0, UNREADABLE);
}
