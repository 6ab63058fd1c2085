// What the scripts share: see tests/clients/scripts/script.py, whose counterpart this is.
import { readFileSync } from "node:fs";

export const asked = JSON.parse(readFileSync(0, "utf8"));
export const prompts = asked.prompts;

export async function run(features) {
  for (const [model, wanted] of Object.entries(asked.models)) {
    for (const feature of wanted) {
      let found = { missing: true };
      if (feature in features) {
        try {
          found = { said: (await features[feature](model)) ?? null };
        } catch (error) {
          found = { raised: told(error) };
        }
      }
      console.log(JSON.stringify({ model, feature, ...found }));
    }
  }
}

function told(error) {
  const classes = [];
  for (let c = error.constructor; c && c !== Error && c.name; c = Object.getPrototypeOf(c)) classes.push(c.name);
  return { classes, message: String(error.message), status: error.status ?? null, request_id: error.requestID ?? null };
}

export async function untilBroken(parts) {
  let text = "";
  try {
    for await (const part of parts) text += part;
  } catch (error) {
    return { text, raised: told(error) };
  }
  return { text };
}

export function left(close) {
  const closed = Number(process.hrtime.bigint()) / 1e9;
  close();
  return { closed };
}
