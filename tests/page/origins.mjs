// Web pages of other origins in a real Chromium: LISTED may use the bridge, FOREIGN may not. Whatever is
// not as it should be ends it with an error.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const { LAN, TOKEN, LISTED, FOREIGN } = process.env;
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });

async function open(origin) {
  const page = await browser.newPage();
  await page.goto(`${origin}/`);
  assert.equal(await page.evaluate(() => location.origin), origin);
  return page;
}

/** What a page gets for a request: the answer as far as it may read it, or how it failed. */
const ask = (page, path, init) => page.evaluate(async ([url, options]) => {
  try {
    const reply = await fetch(url, options);
    return { kind: reply.type, status: reply.status, id: reply.headers.get('x-request-id'), text: await reply.text() };
  } catch (error) {
    return { failed: error.name };
  }
}, [`${LAN}${path}`, init]);

const message = (method, params) => JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
const post = (body, token = TOKEN) => ({
  method: 'POST',
  headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2025-11-25' },
  body,
});
const turnOn = (name) => message('tools/call', { name: 'intent__HassTurnOn', arguments: { name } });

/** What a page hears over a WebSocket: the answer to a ping, or nothing but its end. */
const ping = (page) => page.evaluate(([url, token, text]) => new Promise((heard) => {
  const socket = new WebSocket(url, ['mcp', `bearer.${token}`]);
  socket.onopen = () => socket.send(text);
  socket.onmessage = ({ data }) => heard(data);
  socket.onclose = () => heard('closed');
}), [`${LAN.replace('http', 'ws')}/mcp/ws`, TOKEN, message('ping')]);

try {
  const listed = await open(LISTED);
  const greeting = await ask(listed, '/mcp', post(message('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'page', version: '1' } })));
  assert.equal(JSON.parse(greeting.text).result?.protocolVersion, '2025-11-25', greeting.text);
  assert.ok(greeting.id, 'a page may read the name of its request');
  const done = await ask(listed, '/mcp', post(turnOn('Desk Lamp')));
  assert.equal(JSON.parse(done.text).result?.isError, false, done.text);
  const wrong = await ask(listed, '/mcp', post(message('ping'), 'nonsense'));
  assert.deepEqual([wrong.kind, wrong.status], ['cors', 401], 'it may read why it was refused');
  assert.match(await ping(listed), /"result"/);

  const foreign = await open(FOREIGN);
  assert.deepEqual(await ask(foreign, '/mcp', post(turnOn('Reading Lamp'))), { failed: 'TypeError' });
  assert.deepEqual(await ask(foreign, '/health/live', { headers: { 'x-api-key': TOKEN } }), { failed: 'TypeError' });
  // What a browser sends without asking first: the page sees nothing of the answer.
  const blind = await ask(foreign, `/c/${TOKEN}/mcp`, { method: 'POST', mode: 'no-cors', body: turnOn('Reading Lamp') });
  assert.ok(blind.failed || blind.kind === 'opaque', JSON.stringify(blind));
  assert.equal(await ping(foreign), 'closed');
  console.log('fine');
} finally {
  await browser.close();
}
