// Visits an MCP server with one of the official TypeScript SDKs and prints what it saw as one line of JSON.
import { Console } from 'node:console';
import { parseArgs } from 'node:util';

// The SDKs log with console.debug, which belongs to standard output; that is kept for the one line.
globalThis.console = new Console(process.stderr);

const V2 = '@modelcontextprotocol/client';
const SDKS = {
  'v1': { from: 'sdk-v1' },
  'v1-18': { from: 'sdk-v1-18' },
  'v1-26': { from: 'sdk-v1-26' },
  'v2': { from: V2 },
  'v2-auto': { from: V2, options: { versionNegotiation: { mode: 'auto' } } },
  'v2-modern': { from: V2, options: { versionNegotiation: { mode: { pin: '2026-07-28' } } } },
};
const LISTS = {
  tools: { list: 'listTools', name: 'name' },
  prompts: { list: 'listPrompts', name: 'name' },
  resources: { list: 'listResources', name: 'uri' },
};
const METHODS = ['ping', 'prompts/list', 'resources/list'];
const FIRST_WITHOUT_PING = '2026-07-28';

function readArguments() {
  const { values } = parseArgs({
    options: {
      sdk: { type: 'string' },
      url: { type: 'string' },
      token: { type: 'string' },
      call: { type: 'string' },
      arguments: { type: 'string', default: '{}' },
      prompt: { type: 'string' },
      resource: { type: 'string' },
      // The call has to change what this resource tells.
      watch: { type: 'string' },
      method: { type: 'string', multiple: true, default: [] },
    },
  });
  for (const name of ['sdk', 'url', 'token']) {
    if (values[name] === undefined) throw new TypeError(`--${name} is missing`);
  }
  if (!Object.hasOwn(SDKS, values.sdk)) throw new TypeError(`--sdk is one of ${Object.keys(SDKS).join(', ')}`);
  const unknown = values.method.find((method) => !METHODS.includes(method));
  if (unknown !== undefined) throw new TypeError(`--method is one of ${METHODS.join(', ')}`);
  return { ...values, url: new URL(values.url), arguments: JSON.parse(values.arguments) };
}

async function load(from) {
  if (from === V2) return import(from);
  const [client, transport, types] = await Promise.all([
    import(`${from}/client/index.js`),
    import(`${from}/client/streamableHttp.js`),
    import(`${from}/types.js`),
  ]);
  return { ...client, ...transport, updated: types.ResourceUpdatedNotificationSchema };
}

// Watches a resource; gives what to wait for until the client is told that it was updated.
async function watch(client, revision, uri, notification = 'notifications/resources/updated') {
  const updated = new Promise((resolve) => {
    client.setNotificationHandler(notification, ({ params }) => resolve(params.uri));
  });
  if (revision < FIRST_WITHOUT_PING) await client.subscribeResource({ uri });
  else await client.listen({ resourceSubscriptions: [uri] });
  return { updated };
}

async function everyName(client, kind) {
  const { list, name } = LISTS[kind];
  const names = [];
  let cursor;
  do {
    const page = await client[list](cursor === undefined ? undefined : { cursor });
    names.push(...page[kind].map((item) => item[name]));
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return names;
}

async function look(client, transport, wanted, notification) {
  const asked = (method) => wanted.method.includes(method);
  const revision = transport.protocolVersion;
  const seen = {
    revision,
    server: client.getServerVersion() ?? null,
    capabilities: client.getServerCapabilities() ?? null,
    instructions: client.getInstructions() ?? null,
    tools: await everyName(client, 'tools'),
    call: null,
    prompts: null,
    prompt: null,
    resources: null,
    resource: null,
    updated: null,
    ping: null,
  };
  const watched = wanted.watch && (await watch(client, revision, wanted.watch, notification));
  if (wanted.call !== undefined) {
    seen.call = await client.callTool({ name: wanted.call, arguments: wanted.arguments });
  }
  if (watched) seen.updated = await watched.updated;
  if (wanted.prompt !== undefined || asked('prompts/list')) {
    seen.prompts = await everyName(client, 'prompts');
  }
  if (wanted.prompt !== undefined) {
    seen.prompt = await client.getPrompt({ name: wanted.prompt });
  }
  if (wanted.resource !== undefined || asked('resources/list')) {
    seen.resources = await everyName(client, 'resources');
  }
  if (wanted.resource !== undefined) {
    seen.resource = await client.readResource({ uri: wanted.resource });
  }
  if (asked('ping')) {
    seen.ping = revision < FIRST_WITHOUT_PING;
    if (seen.ping) await client.ping();
  }
  return seen;
}

async function visit(wanted) {
  const { from, options } = SDKS[wanted.sdk];
  const { Client, StreamableHTTPClientTransport, updated } = await load(from);
  const client = new Client({ name: `test-typescript-${wanted.sdk}`, version: '1.0.0' }, options);
  const transport = new StreamableHTTPClientTransport(wanted.url, {
    requestInit: { headers: { Authorization: `Bearer ${wanted.token}` } },
  });
  try {
    await client.connect(transport);
    const seen = await look(client, transport, wanted, updated);
    // close() alone leaves a session open at the server.
    await transport.terminateSession();
    return seen;
  } finally {
    await client.close();
  }
}

function describe(error) {
  return {
    name: error.constructor.name,
    message: error.message,
    code: error.status ?? error.code ?? error.cause?.code ?? null,
  };
}

let sdk = null;
let outcome;
try {
  const wanted = readArguments();
  sdk = wanted.sdk;
  outcome = await visit(wanted);
} catch (error) {
  outcome = { error: describe(error) };
  process.exitCode = 1;
}
process.stdout.write(`${JSON.stringify({ sdk, ...outcome })}\n`);
