// Asks for a stream with each library of npm at once, and prints what came of it: {name: {answer} or {error}}.
// Usage: node ask.mjs GATEWAY_URL KEY MODEL, in a folder with the libraries in node_modules.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { streamText } from "ai";
import OpenAI from "openai";

const [url, key, model] = process.argv.slice(2);
const baseURL = `${url}/v1`;
const prompt = "Hello!";
const messages = [{ role: "user", content: prompt }];
const openai = new OpenAI({ baseURL, apiKey: key, maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });

async function joined(stream, textOf) {
  let answer = "";
  for await (const piece of stream) answer += textOf(piece) ?? "";
  return answer;
}

// onError gets the error of an event, the iteration that of the connection which breaks after it.
async function ai(languageModel) {
  const errors = [];
  const onError = ({ error }) => errors.push(error);
  try {
    const { textStream } = streamText({ model: languageModel, prompt, maxRetries: 0, onError });
    const answer = await joined(textStream, (text) => text);
    if (errors.length === 0) return answer;
  } catch (error) {
    errors.push(error);
  }
  throw errors[0];
}

const libraries = {
  "openai chat": async () =>
    joined(
      await openai.chat.completions.create({ model, messages, stream: true }),
      (chunk) => chunk.choices[0]?.delta.content,
    ),
  "openai chat .stream()": async () =>
    (await openai.chat.completions.stream({ model, messages }).finalChatCompletion()).choices[0].message.content,
  "openai responses": async () =>
    joined(
      await openai.responses.create({ model, input: prompt, stream: true }),
      (event) => (event.type === "response.output_text.delta" ? event.delta : ""),
    ),
  "openai responses .stream()": async () =>
    (await openai.responses.stream({ model, input: prompt }).finalResponse()).output_text,
  anthropic: async () =>
    joined(
      await anthropic.messages.create({ model, messages, max_tokens: 50, stream: true }),
      (event) => event.delta?.text,
    ),
  "anthropic .stream()": async () => anthropic.messages.stream({ model, messages, max_tokens: 50 }).finalText(),
  "ai chat": async () => ai(createOpenAICompatible({ name: "lmgateway", baseURL, apiKey: key })(model)),
  "ai openai chat": async () => ai(createOpenAI({ baseURL, apiKey: key }).chat(model)),
  "ai responses": async () => ai(createOpenAI({ baseURL, apiKey: key }).responses(model)),
  "ai anthropic": async () => ai(createAnthropic({ baseURL, apiKey: key })(model)),
};

const outcomes = Object.entries(libraries).map(async ([name, ask]) => {
  try {
    return [name, { answer: await ask() }];
  } catch (error) {
    return [name, { error: String(error?.message ?? error) + " " + JSON.stringify(error) }];
  }
});
console.log(JSON.stringify(Object.fromEntries(await Promise.all(outcomes))));
