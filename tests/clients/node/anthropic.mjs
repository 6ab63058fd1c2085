// Anthropic's SDK for Node.
import Anthropic from "@anthropic-ai/sdk";
import { asked, left, prompts, run, untilBroken } from "./script.mjs";

const client = new Anthropic({ baseURL: asked.url, apiKey: asked.key, maxRetries: 0, timeout: 120000 });
const tool = { name: prompts.WEATHER.name, input_schema: prompts.WEATHER.schema };
const forced = { tools: [tool], tool_choice: { type: "any" } };
const given = (model, content, more = {}) => ({ model, max_tokens: 200, messages: [{ role: "user", content }], ...more });

function told(message) {
  const { input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens } = message.usage;
  const text = message.content.filter((b) => b.type === "text").map((b) => b.text).join("");
  const prompt_tokens = input_tokens + (cache_read_input_tokens ?? 0) + (cache_creation_input_tokens ?? 0);
  return { text, finish: message.stop_reason, prompt_tokens, answer_tokens: output_tokens };
}

function callOf(message) {
  const [call, ...more] = message.content.filter((b) => b.type === "tool_use");
  if (more.length) throw new Error("more than one call");
  return { name: call.name, arguments: call.input, finish: message.stop_reason };
}

async function* texts(stream) {
  for await (const event of stream) if (event.type === "content_block_delta") yield event.delta.text ?? "";
}

await run({
  async chat(model) {
    return told(await client.messages.create(given(model, prompts.HELLO)));
  },
  async stream(model) {
    const stream = client.messages.stream(given(model, prompts.HELLO));
    let text = "";
    stream.on("text", (part) => (text += part));
    return { ...told(await stream.finalMessage()), text };
  },
  async tools(model) {
    const message = await client.messages.create(given(model, prompts.CALL, forced));
    const call = message.content.find((b) => b.type === "tool_use");
    const result = { type: "tool_result", tool_use_id: call.id, content: "rain" };
    const first = given(model, prompts.CALL, { tools: [tool] });
    const messages = [...first.messages, { role: "assistant", content: message.content }, { role: "user", content: [result] }];
    return { ...callOf(message), text: told(await client.messages.create({ ...first, messages, max_tokens: 20 })).text };
  },
  async "streamed tools"(model) {
    return callOf(await client.messages.stream(given(model, prompts.CALL, forced)).finalMessage());
  },
  async schema(model) {
    const output_config = { format: { type: "json_schema", schema: prompts.SURE } };
    return JSON.parse(told(await client.messages.create(given(model, prompts.HELLO, { output_config }))).text);
  },
  async "wrong key"(model) {
    await client.withOptions({ apiKey: "wrong" }).messages.create(given(model, prompts.HELLO));
  },
  async "unknown model"() {
    await client.messages.create(given("no-such-model", prompts.HELLO));
  },
  async refused(model) {
    await client.messages.create(given(model, asked.refused[model] ?? prompts.REFUSED));
  },
  async busy(model) {
    await client.messages.create(given(model, prompts.BUSY));
  },
  async failed(model) {
    await client.messages.create(given(model, prompts.HELLO));
  },
  async cut(model) {
    return untilBroken(texts(await client.messages.create(given(model, prompts.CUT, { stream: true }))));
  },
  async cancel(model) {
    const stream = await client.messages.create(given(model, prompts.ENDLESS + asked.name, { stream: true }));
    let seen = 0;
    let found = null;
    for await (const _ of stream) {
      seen += 1;
      if (seen === 4) {
        found = left(() => stream.controller.abort());
        break;
      }
    }
    return found;
  },
});
