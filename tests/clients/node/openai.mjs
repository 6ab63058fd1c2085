// OpenAI's SDK for Node.
import OpenAI from "openai";
import { asked, left, prompts, run, untilBroken } from "./script.mjs";

const client = new OpenAI({ baseURL: `${asked.url}/v1`, apiKey: asked.key, maxRetries: 0, timeout: 120000 });
const tool = { type: "function", function: { name: prompts.WEATHER.name, parameters: prompts.WEATHER.schema, strict: true } };
const forced = (model) => ({ tools: [tool], tool_choice: "required", max_completion_tokens: 200, ...asked.push[model] });
const user = (content) => [{ role: "user", content }];
const create = (model, content, more = {}) =>
  client.chat.completions.create({ model, messages: user(content), max_completion_tokens: 200, ...more });
const usage = (found) => ({ prompt_tokens: found.prompt_tokens, answer_tokens: found.completion_tokens });

function callOf({ message, finish_reason }) {
  const [call, ...more] = message.tool_calls;
  if (more.length) throw new Error("more than one call");
  return { name: call.function.name, arguments: JSON.parse(call.function.arguments), finish: finish_reason };
}

async function* texts(stream) {
  for await (const part of stream) for (const choice of part.choices) yield choice.delta.content ?? "";
}

await run({
  async chat(model) {
    const answer = await create(model, prompts.HELLO);
    const [choice] = answer.choices;
    return { text: choice.message.content, finish: choice.finish_reason, ...usage(answer.usage) };
  },
  async stream(model) {
    let text = "", finish = null, used = null;
    for await (const part of await create(model, prompts.HELLO, { stream: true, stream_options: { include_usage: true } })) {
      used = part.usage ?? used;
      for (const choice of part.choices) {
        text += choice.delta.content ?? "";
        finish = choice.finish_reason ?? finish;
      }
    }
    return { text, finish, ...usage(used) };
  },
  async tools(model) {
    const [choice] = (await create(model, prompts.CALL, forced(model))).choices;
    const result = { role: "tool", tool_call_id: choice.message.tool_calls[0].id, content: "rain" };
    const messages = [...user(prompts.CALL), choice.message, result];
    const after = await client.chat.completions.create({ model, messages, tools: [tool], max_completion_tokens: 20 });
    return { ...callOf(choice), text: after.choices[0].message.content };
  },
  async "streamed tools"(model) {
    const answer = await client.chat.completions.stream({ model, messages: user(prompts.CALL), ...forced(model) }).finalChatCompletion();
    return callOf(answer.choices[0]);
  },
  async schema(model) {
    const format = { type: "json_schema", json_schema: { name: "sure", schema: prompts.SURE, strict: true } };
    const answer = await client.chat.completions.parse({
      model, messages: user(prompts.HELLO), response_format: format, max_completion_tokens: 200,
    });
    return JSON.parse(answer.choices[0].message.content);
  },
  async embeddings(model) {
    const answer = await client.embeddings.create({ model, input: ["one", "two"] });
    return { vectors: answer.data.map((d) => d.embedding) };
  },
  async "wrong key"(model) {
    await client.withOptions({ apiKey: "wrong" }).chat.completions.create({ model, messages: user(prompts.HELLO) });
  },
  async "unknown model"() {
    await create("no-such-model", prompts.HELLO);
  },
  async refused(model) {
    await create(model, asked.refused[model] ?? prompts.REFUSED);
  },
  async busy(model) {
    await create(model, prompts.BUSY);
  },
  async failed(model) {
    await create(model, prompts.HELLO);
  },
  async cut(model) {
    return untilBroken(texts(await create(model, prompts.CUT, { stream: true })));
  },
  async cancel(model) {
    const stream = await create(model, prompts.ENDLESS + asked.name, { stream: true });
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
