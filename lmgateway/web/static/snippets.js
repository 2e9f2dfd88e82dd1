// How clients connect, as texts to copy.

const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** The snippets for a gateway at `base` (without a final slash), as {title, text}. */
export function snippets(base, model, key) {
  const chat = JSON.stringify({ model, messages: [{ role: "user", content: "Hello!" }] });
  return [
    {
      title: "OpenAI's Python library",
      text: `from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(`${base}/v1`)}, api_key="${key}")
chat = client.chat.completions.create(
    model=${JSON.stringify(model)}, messages=[{"role": "user", "content": "Hello!"}]
)
print(chat.choices[0].message.content)`,
    },
    {
      title: "Claude Code",
      text: `unset ANTHROPIC_API_KEY
export ANTHROPIC_BASE_URL=${quoted(base)}
export ANTHROPIC_AUTH_TOKEN=${key}
export ANTHROPIC_MODEL=${quoted(model)}
export ANTHROPIC_DEFAULT_HAIKU_MODEL=${quoted(model)}
export CLAUDE_CODE_SUBAGENT_MODEL=${quoted(model)}
claude`,
    },
    {
      title: "curl",
      text: `curl ${quoted(`${base}/v1/chat/completions`)} \\
  -H 'Authorization: Bearer ${key}' \\
  -H 'Content-Type: application/json' \\
  -d ${quoted(chat)}`,
    },
  ];
}
