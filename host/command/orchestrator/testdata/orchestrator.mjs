// The other side of the wire, as an orchestrator in TypeScript plays it: its
// command router, which we call, and its two clients of task sockets, which call
// us. Needs node and nothing else.
//
//	node orchestrator.mjs serve    --socket S [--config JSON] [--sessions JSON] [--record FILE] [--unknown NAME,…]
//	node orchestrator.mjs archive  --socket S --collection C [--source H] [--dest H] [--batch N] [--task ID]
//	node orchestrator.mjs flat     --socket S          a line of JSON on stdin is a request
//	node orchestrator.mjs envelope --socket S          a line of JSON on stdin is {type, payload}
//
// Each mode writes lines of JSON to stdout: serve {"listening":S} once it does;
// the clients what came back for each request, {"error":…} for what did not.
// archive and flat exit with 1 when a request failed; envelope when it has given
// the connection up.
import * as fs from 'node:fs';
import * as net from 'node:net';
import * as readline from 'node:readline';

const [mode, ...rest] = process.argv.slice(2);
const args = {};
for (let i = 0; i < rest.length; i += 2) args[rest[i].replace(/^--/, '')] = rest[i + 1];

const say = (value) => process.stdout.write(JSON.stringify(value) + '\n');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// ---- the command router ----

const config = JSON.parse(args.config ?? '{}');
const sessions = JSON.parse(args.sessions ?? '{}');
const unknown = (args.unknown ?? '').split(',');

const commands = {
  ping: async () => ({ pong: true }),
  'test/ping': async () => ({ pong: true }), // which no host has itself
  // Answers as late as it is told to, so that replies overtake each other.
  'test/delay': async ({ ms }) => (await sleep(ms), { waited: ms }),
  'test/never': () => new Promise(() => {}),
  'test/echo': async ({ value }) => ({ value: structuredClone(value), echoed: value }),
  'test/fail': async () => { throw new Error('it went wrong: ü'); },
  'test/inner': async () => ({ success: false, error: 'the inner one failed' }),
  'test/raw': async ({ text }) => ({ raw: text }),
  'data/list': async ({ limit = 500 }) => {
    const items = Array.from({ length: Math.min(limit, 500) }, (_, i) => ({ id: `id-${i}`, version: i, ratio: i / 2 }));
    return { success: true, items, count: items.length };
  },
  'config/get': async ({ key }) => ({ value: config[key] }),
  'session/get-user': async ({ targetSessionId }) => {
    const user = sessions[targetSessionId];
    return user ? { success: true, user } : { success: true };
  },
  'events/emit': async ({ event, data }) => {
    if (data?.refuse) return { success: false, error: `event ${event} is refused` };
    if (args.record) fs.appendFileSync(args.record, JSON.stringify({ event, data }) + '\n');
    return { success: true };
  },
};

async function execute(command, params) {
  const handler = unknown.includes(command) ? undefined : commands[command];
  if (!handler) throw new Error(`Command '${command}' not available in server context`);
  const result = await handler(params);
  // Parameters, context and session come back with the result.
  return { context: { environment: 'server', uuid: 'c0ffee' }, sessionId: '00000000-0000-0000-0000-000000000000', ...params, ...result };
}

function serve(socket) {
  let buffer = '';
  socket.on('data', (chunk) => {
    buffer += chunk.toString('utf8'); // each chunk for itself: a character across two of them is lost
    const lines = buffer.split('\n');
    buffer = lines.pop();
    for (const line of lines) if (line.trim()) void answer(socket, line); // concurrently, without an order
  });
  socket.on('error', () => {});
}

async function answer(socket, line) {
  let reply;
  try {
    const { command, params } = JSON.parse(line);
    if (typeof params !== 'object' || params === null || Array.isArray(params)) throw new Error('params must be an object');
    const result = await execute(command, params);
    if (command === 'test/raw') return void socket.write(result.raw);
    reply = { success: true, result };
  } catch (error) {
    reply = { success: false, error: error.message };
  }
  if (!socket.destroyed) socket.write(JSON.stringify(reply) + '\n');
}

// ---- the clients ----

// The flat client: a connection for each request, and only the first piece of
// what comes back is looked at.
function flat(request) {
  return new Promise((resolve, reject) => {
    const socket = net.createConnection(args.socket);
    const timer = setTimeout(() => { socket.destroy(); reject(new Error('no reply within 5 s')); }, 5000);
    socket.on('connect', () => socket.write(JSON.stringify(request) + '\n'));
    socket.once('data', (chunk) => {
      clearTimeout(timer);
      socket.end();
      try { resolve(JSON.parse(chunk.toString('utf8'))); } catch (error) { reject(error); }
    });
    socket.on('error', (error) => { clearTimeout(timer); reject(error); });
    socket.on('close', () => { clearTimeout(timer); reject(new Error('closed without a reply')); });
  });
}

async function printed(request) {
  try {
    say(await flat(request));
  } catch (error) {
    say({ error: error.message });
    process.exitCode = 1;
  }
}

// The envelope client: one connection, requests pipelined, replies matched by
// requestId.
class EnvelopeClient {
  constructor(path) { Object.assign(this, { path, pending: new Map(), reconnects: 0, buffer: '', n: 0 }); }

  connect() {
    return new Promise((resolve, reject) => {
      const socket = net.createConnection(this.path);
      socket.on('connect', () => { this.socket = socket; this.buffer = ''; resolve(); });
      socket.on('error', reject);
      socket.on('data', (chunk) => this.receive(chunk));
      socket.on('close', () => { if (this.socket === socket) void this.lost(); });
    });
  }

  receive(chunk) {
    this.buffer += chunk.toString('utf8');
    const lines = this.buffer.split('\n');
    this.buffer = lines.pop();
    for (const line of lines) {
      if (!line.trim()) continue;
      const reply = JSON.parse(line);
      const waiting = this.pending.get(reply.requestId);
      if (!waiting) { say({ error: 'a reply that nobody waits for', reply }); continue; }
      this.pending.delete(reply.requestId);
      clearTimeout(waiting.timer);
      waiting.resolve(reply);
    }
  }

  async lost() {
    this.socket = undefined;
    for (const [id, { reject, timer }] of this.pending) {
      clearTimeout(timer);
      this.pending.delete(id);
      reject(new Error('the connection was lost'));
    }
    while (this.reconnects < 3) {
      this.reconnects++;
      await sleep(100 * this.reconnects);
      try { return await this.connect(); } catch { /* once more */ }
    }
    say({ error: 'gave up after 3 reconnects' });
    process.exit(1);
  }

  send(type, payload) {
    return new Promise((resolve, reject) => {
      if (!this.socket) return reject(new Error('not connected'));
      const id = `request-${++this.n}`;
      const timer = setTimeout(() => { this.pending.delete(id); reject(new Error(`${id}: no reply within 10 s`)); }, 10_000);
      this.pending.set(id, { resolve, reject, timer });
      this.socket.write(JSON.stringify({ id, type, timestamp: new Date().toISOString(), payload }) + '\n');
    });
  }
}

// ---- modes ----

if (mode === 'serve') {
  fs.rmSync(args.socket, { force: true });
  net.createServer(serve).listen(args.socket, () => say({ listening: args.socket }));
} else if (mode === 'archive') {
  await printed({
    command: 'archive', task_id: args.task ?? `${args.collection}-${Date.now()}`, collection: args.collection,
    source_handle: args.source ?? 'primary', dest_handle: args.dest ?? 'archive', batch_size: Number(args.batch ?? 1000),
  });
} else if (mode === 'flat') {
  for await (const line of readline.createInterface({ input: process.stdin })) await printed(JSON.parse(line));
} else if (mode === 'envelope') {
  const client = new EnvelopeClient(args.socket);
  await client.connect();
  const open = [];
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { type, payload } = JSON.parse(line);
    open.push(client.send(type, payload).then(say, (error) => say({ error: error.message })));
  }
  await Promise.all(open);
  process.exit(0);
} else {
  console.error('serve, archive, flat or envelope');
  process.exit(2);
}
