#!/usr/bin/env node
// A stage from PROTOCOL.md alone, in JavaScript: makes `voice` louder, and loses nothing that its reader asks for again.
// `npm install` beside this file first. The sections named are those of PROTOCOL.md.
import { createReadStream } from "node:fs";
import { fileURLToPath } from "node:url";

// Section 1: 78 means that trying again is of no use; the last line on stderr is what `status` says of it.
const missing = (error) => {
  if (error.code !== "ERR_MODULE_NOT_FOUND") throw error;
  const here = fileURLToPath(new URL(".", import.meta.url));
  console.error(`the packages zeromq and @msgpack/msgpack are missing: cd ${here} && npm install`);
  process.exit(78);
};
const { decode, encode } = await import("@msgpack/msgpack").catch(missing);
const { Dealer, Subscriber, XPublisher } = await import("zeromq").catch(missing);

const NAME = process.env.PIPELINE_STAGE, INST = Number(process.env.PIPELINE_INST);
const WIRING = JSON.parse(process.env.PIPELINE_WIRING);
const FACTOR = 10 ** ((WIRING.options.db ?? 6) / 20);
const SOURCE = WIRING.inputs.voice;
const RING_NS = 30_000_000_000n; // what is kept for a reader that comes back
const packed = (value) => encode(value, { useBigInt64: true });
const unpacked = (data) => decode(data, { useBigInt64: true }); // `t` does not fit a double's 53 bits for ever

// Section 1: the supervisor is gone when the lifeline ends.
createReadStream("", { fd: Number(process.env.PIPELINE_LIFELINE) }).on("end", () => process.exit(1)).resume();

// One send at a time on a socket: an outbox each, bounded; over it the oldest goes.
function outbox(socket, bound = 8000) {
  const waiting = [];
  let sending = false;
  return async (parts) => {
    waiting.push(parts);
    if (waiting.length > bound) waiting.shift();
    if (sending) return;
    sending = true;
    while (waiting.length) await socket.send(waiting.shift()).catch(() => {});
    sending = false;
  };
}

// Section 7: control.
const control = new Dealer({ routingId: `${NAME}/${INST}`, linger: 200 });
control.connect(WIRING.control);
const sendUp = outbox(control);
const say = (kind, fields = {}) => sendUp([packed({ v: 1, kind, ...fields })]);
const counts = { in: 0, out: 0 };
let state = "primed";
const beat = () =>
  say("beat", { state, reason: "", counts: { in: { voice: counts.in }, out: { voice: counts.out } } });

say("hello", { pid: process.pid });
say("primed");
setInterval(beat, 500); // the one loop that Node has: a hung one does not beat

for await (const [data] of control) {
  const { kind } = unpacked(data);
  if (kind === "go" && state === "primed") live().catch(crash);
  if (kind === "stop") {
    say("bye", { reason: "" });
    setTimeout(() => process.exit(0), 50);
  }
}

function crash(error) {
  console.error(error);
  process.exit(1);
}

async function live() {
  // Section 2. The name is guarded by flock where a language has it; here by the supervisor that starts us once.
  const bus = new XPublisher({ verbosity: "allSubs", sendHighWaterMark: 8000, linger: 200 });
  await bus.bind(WIRING.bind);
  const publish = outbox(bus);
  const seqs = new Map(), sticky = new Map(), ring = [];
  const stamp = (topic) => {
    const seq = (seqs.get(topic) ?? -1) + 1;
    seqs.set(topic, seq);
    return { v: 1, src: NAME, inst: INST, seq, sent: process.hrtime.bigint() };
  };
  const tell = (name, body, key = null) => {
    const topic = `event.${name}`;
    const parts = [topic, packed({ ...stamp(topic), body })];
    if (key !== null) sticky.set(key, parts);
    publish(parts);
  };

  // Section 4: who joins late hears what holds. Section 5: our readers may ask for what they missed.
  (async () => {
    for await (const [frame] of bus) if (frame[0] === 1) for (const parts of sticky.values()) publish(parts);
  })().catch(crash);
  const answer = ({ id, stream, from, to }) => {
    if (to !== NAME || stream !== "voice") return;
    const kept = ring.filter((block) => from === null || block.end > BigInt(from));
    for (const block of kept) publish(["audio.voice", packed({ ...block.fields, replay: id })]);
    const newest = seqs.get("audio.voice") ?? -1;
    tell("replayed", { id, stream, first: kept[0]?.fields.seq ?? newest + 1, last: newest, lost_ms: 0 });
  };
  const seen = new Set();
  for (const endpoint of Object.values(WIRING.peers)) {
    if (endpoint === WIRING.peers[SOURCE] || endpoint === WIRING.bind) continue;
    hear(endpoint, ["event.listening"], (topic, fields) => topic === "event.listening" && first(topic, fields) && answer(fields.body));
  }
  function first(topic, fields) {
    const key = `${topic} ${fields.src} ${fields.inst} ${fields.seq}`;
    if (seen.has(key)) return false;
    seen.add(key);
    if (seen.size > 1000) seen.delete(seen.values().next().value);
    return true;
  }

  // What we read: from the writer's memory first, once for each of its lives.
  let newestT = -1n, asked = null, askedInst = -1n, request = 0;
  hear(WIRING.peers[SOURCE], ["event.state", "event.replayed", "event.listening", "audio.voice"], (topic, fields) => {
    if (topic.startsWith("event.") && !first(topic, fields)) return;
    if (topic === "event.listening") return answer(fields.body);
    if (topic === "event.state" && BigInt(fields.inst) !== askedInst) {
      askedInst = BigInt(fields.inst);
      if (!(fields.body.replays ?? []).includes("voice")) return;
      asked = `${NAME}/${INST}/${request++}`;
      const from = newestT < 0n ? process.hrtime.bigint() - 5_000_000_000n : newestT + 1n;
      tell("listening", { id: asked, stream: "voice", from, to: SOURCE }, "listening");
    }
    if (topic === "event.replayed" && fields.body.id === asked) {
      asked = null;
      sticky.delete("listening");
    }
    if (topic !== "audio.voice" || fields.v !== 1) return;
    counts.in += 1;
    if (fields.replay ? fields.replay !== asked : asked !== null) return; // somebody else's, or it lies in our replay
    const t = BigInt(fields.t);
    if (t <= newestT) return;
    newestT = t;
    const { rate, channels, format, gated } = fields;
    const kept = { rate, channels, format, t, ...(gated ? { gated } : {}), pcm: louder(fields.pcm) };
    const message = { ...stamp("audio.voice"), ...kept };
    ring.push({ end: t + BigInt(Math.round((fields.pcm.length / 2 / channels / rate) * 1e9)), fields: message });
    while (ring[0].end < t - RING_NS) ring.shift();
    publish(["audio.voice", packed(message)]);
    counts.out += 1;
  });

  state = "live";
  say("live");
  tell("state", { state, reason: "", replays: ["voice"] }, "state");
  setTimeout(() => { // a writer that never says its state is read as it comes
    if (askedInst < 0n) asked = null;
  }, 1000);
}

// One subscriber a peer: two would lose the writer's order.
async function hear(endpoint, topics, take) {
  const socket = new Subscriber({ receiveHighWaterMark: 8000, reconnectInterval: 20 });
  socket.subscribe(...topics);
  socket.connect(endpoint);
  for await (const [topic, data] of socket) {
    let fields;
    try {
      fields = unpacked(data);
    } catch {
      continue; // malformed: dropped, and no loop ends for it
    }
    take(topic.toString(), fields);
  }
}

function louder(pcm) {
  const out = Buffer.from(pcm);
  for (let at = 0; at + 1 < out.length; at += 2) {
    out.writeInt16LE(Math.max(-32768, Math.min(32767, Math.round(out.readInt16LE(at) * FACTOR))), at);
  }
  return out;
}
