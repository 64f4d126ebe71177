// Client of the server's public API.

const headers = (key) => ({ "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) });

async function checked(response) {
  if (response.ok) return response;
  const body = await response.json().catch(() => null);
  const error = new Error(body?.error?.message ?? `The server answered ${response.status}.`);
  error.status = response.status;
  throw error;
}

async function json(path, key, body) {
  const options = body ? { method: "POST", headers: headers(key), body: JSON.stringify(body) } : { headers: headers(key) };
  return (await checked(await fetch(path, options))).json();
}

export const listModels = (key) => json("v1/models", key);

export const describePruning = (key) => json("v1/visual_tokens", key);

/** Return the plans of one image, one per ratio. */
export async function showTokens(image, ratios, method, key) {
  const body = { images: [image], prune_ratio: ratios, prune_method: method };
  return (await json("v1/visual_tokens", key, body)).data[0];
}

/** Warm up the server: its first response takes longer, with or without pruning. */
export const warmUp = (model, key) => json("v1/chat/completions", key, {
  model, messages: [{ role: "user", content: "Hello" }], max_completion_tokens: 1,
});

/** Ask about an image. `onText` receives the answer so far. Return usage, and times in milliseconds. */
export async function ask({ model, image, question, ratio, method }, key, onText) {
  const content = [{ type: "image_url", image_url: { url: image } }, { type: "text", text: question }];
  const body = {
    model, messages: [{ role: "user", content }], temperature: 0, max_completion_tokens: 256,
    stream: true, stream_options: { include_usage: true }, prune_ratio: ratio, prune_method: method,
  };
  const start = performance.now();
  const options = { method: "POST", headers: headers(key), body: JSON.stringify(body) };
  const response = await checked(await fetch("v1/chat/completions", options));
  let text = "", usage = null, first = null;
  for await (const event of events(response)) {
    if (event.error) throw new Error(event.error.message);
    usage = event.usage ?? usage;
    const piece = event.choices?.[0]?.delta?.content;
    if (!piece) continue;
    first ??= performance.now() - start;
    onText(text += piece);
  }
  return { usage, first, total: performance.now() - start };
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line.startsWith("data: ") && line !== "data: [DONE]") yield JSON.parse(line.slice(6));
    }
  }
}
