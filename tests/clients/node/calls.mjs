// The calls of an application that uses the official Node client, unchanged. Usage:
// `node calls.mjs NAME`, with OPENAI_BASE_URL and OPENAI_API_KEY set as ever; prints
// what the client saw as one line of JSON.

import { createHash } from "node:crypto";
import OpenAI, { toFile } from "openai";

const messages = [{ role: "user", content: "hello – 🥃" }];
const tools = [
  {
    type: "function",
    function: {
      name: "get_weather",
      parameters: { type: "object", properties: { city: { type: "string" } } },
    },
  },
];
const ticket = {
  type: "json_schema",
  json_schema: {
    name: "ticket",
    strict: true,
    schema: {
      type: "object",
      properties: { label: { type: "string" }, urgent: { type: "boolean" } },
      required: ["label", "urgent"],
      additionalProperties: false,
    },
  },
};
const sha256 = (bytes) => createHash("sha256").update(Buffer.from(bytes)).digest("hex");

async function heard(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

// What a client sees of an error.
const seen = (error) => ({
  class: error.constructor.name,
  status: error.status,
  code: error.code,
  type: error.type,
  param: error.param,
  request_id: error.requestID,
  should_retry: error.headers?.get("x-should-retry"),
});

async function failing(call) {
  try {
    await call();
  } catch (error) {
    return seen(error);
  }
  throw new Error("no error was thrown");
}

const chat = (client) => client.chat.completions;

const calls = {
  async plain(client) {
    const { data, response, request_id } = await chat(client)
      .create({ model: "m", messages })
      .withResponse();
    return { answer: data, request_id, id: response.headers.get("x-spiritsafe-id") };
  },

  async stream(client) {
    const stream = chat(client).stream({
      model: "m",
      messages,
      stream_options: { include_usage: true },
    });
    const chunks = await heard(stream);
    return { chunks: chunks.length, answer: await stream.finalChatCompletion() };
  },

  async stream_a1_text(client) {
    const create = { model: "a1_text", messages, stream: true };
    return { chunks: await heard(await chat(client).create(create)) };
  },

  async tools(client) {
    return { answer: await chat(client).create({ model: "two-calls", messages, tools }) };
  },

  async streamed_tools(client) {
    const stream = chat(client).stream({ model: "a2_tools", messages, tools });
    return { answer: await stream.finalChatCompletion() };
  },

  async parse(client) {
    const create = { model: "m", messages, response_format: ticket };
    const answer = await chat(client).parse(create);
    return { answer, value: JSON.parse(answer.choices[0].message.content) };
  },

  async two_choices(client) {
    return { answer: await chat(client).create({ model: "m", messages, n: 2 }) };
  },

  async two_streamed_choices(client) {
    const stream = chat(client).stream({ model: "m", messages, n: 2 });
    return { answer: await stream.finalChatCompletion() };
  },

  async response(client) {
    return { answer: await client.responses.create({ model: "called", input: "x" }) };
  },

  async streamed_response(client) {
    const stream = client.responses.stream({ model: "m", input: "hello" });
    const events = await heard(stream);
    const answer = await stream.finalResponse();
    return { events: events.map((event) => event.type), text: answer.output_text };
  },

  async embeddings(client) {
    const answer = await client.embeddings.create({ model: "m", input: ["a", "b"] });
    return { floats: answer.data.map((one) => one.embedding) };
  },

  async upload(client) {
    const content = Buffer.alloc(5 * 1024 * 1024, "0123456789\r\n--\u00e4");
    const file = await toFile(content, "train.jsonl");
    const answer = await client.files.create({ file, purpose: "fine-tune" });
    return { bytes: answer.bytes, sha256: sha256(content), size: content.length };
  },

  async content(client) {
    const answer = await client.files.content("file-1");
    return { sha256: sha256(await answer.arrayBuffer()) };
  },

  async speech(client) {
    const create = { model: "tts", voice: "alloy", input: "Say it." };
    const answer = await client.audio.speech.create(create);
    const kind = answer.headers.get("content-type");
    return { kind, sha256: sha256(await answer.arrayBuffer()) };
  },

  async model(client) {
    const listed = await heard(client.models.list());
    const one = await client.models.retrieve("org/name");
    return { listed: listed.map((model) => model.id), one: one.id };
  },

  async errors(client) {
    const all = {};
    for (const status of [400, 401, 403, 404, 422, 429, 500]) {
      const create = { model: `error-${status}`, messages };
      const once = { maxRetries: 0 };
      all[status] = await failing(() => chat(client).create(create, once));
    }
    return all;
  },

  async retry(client) {
    return { answer: await chat(client).create({ model: "down-twice", messages }) };
  },

  async hopeless(client) {
    return failing(() => chat(client).create({ model: "hopeless", messages }));
  },

  async broken(client) {
    const create = { model: "broken", messages, stream: true };
    const words = [];
    try {
      for await (const chunk of await chat(client).create(create)) {
        words.push(chunk.choices[0].delta.content);
      }
    } catch (error) {
      return { words, error: error.constructor.name };
    }
    return { words, error: null };
  },

  async stored(client) {
    const ids = [];
    for (const task of ["a", "b", "a", "a"]) {
      const create = { model: "m", messages, metadata: { task } };
      ids.push((await chat(client).create(create)).id);
    }
    const wanted = { metadata: { task: "a" }, model: "m-served", limit: 2 };
    const listed = await heard(chat(client).list(wanted));
    const latest = await heard(chat(client).list({ order: "desc", metadata: null }));
    const one = await chat(client).retrieve(ids[0]);
    const asked = await heard(chat(client).messages.list(ids[0]));
    const metadata = { task: "c", note: "\u00e9 & x" };
    const updated = await chat(client).update(ids[0], { metadata });
    const found = await heard(chat(client).list({ metadata }));
    const deleted = await chat(client).delete(ids[0]);
    const again = await failing(() => chat(client).retrieve(ids[0]));
    const response = await client.responses.create({ model: "m", input: "hello" });
    const items = await heard(client.responses.inputItems.list(response.id));
    const back = await client.responses.retrieve(response.id);
    await client.responses.delete(response.id);
    const gone = await failing(() => client.responses.retrieve(response.id));
    return {
      ids,
      listed: listed.map((one) => one.id),
      latest: latest.map((one) => one.id),
      found: found.map((one) => one.id),
      one,
      asked,
      updated: updated.metadata,
      deleted,
      again,
      text: back.output_text,
      items,
      gone: gone.status,
    };
  },

  async options(client) {
    const answer = await chat(client).create(
      { model: "m", messages, metadata: { task: "x" }, store: true, top_k: 3 },
      { headers: { "x-spiritsafe-tags": "team=a" } },
    );
    return { answer };
  },
};

const client = new OpenAI();
console.log(JSON.stringify(await calls[process.argv[2]](client)));
