// Visits the status page with a real Chromium. The first argument names the visit, the environment says
// where the page is. Whatever is not as it should be ends it with an error.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, request as ask } from 'node:http';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import { chromium } from 'playwright-core';

const { ADMIN, LAN, ADMIN_TOKEN, TOKEN, INGRESS } = process.env;
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SHOTS = new URL('./screenshots/', import.meta.url).pathname;
mkdirSync(SHOTS, { recursive: true });

const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });

/** A page in a browser of its own that reports everything that must not happen. */
async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: 'en-US', colorScheme: 'light', acceptDownloads: true, ...options });
  const page = await context.newPage();
  page.troubles = [];
  page.bytes = 0;
  page.on('console', (message) => message.type() === 'error' && page.troubles.push(message.text()));
  page.on('pageerror', (error) => page.troubles.push(error.message));
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url());
    if (protocol !== 'blob:' && origin !== (page.home ?? ADMIN)) page.troubles.push(`another origin: ${origin}`);
  });
  page.on('response', async (response) => {
    const sizes = response.url().includes('/api/') ? null : await response.request().sizes().catch(() => null);
    page.bytes += sizes?.responseBodySize ?? 0;
  });
  return page;
}

async function signIn(page) {
  await page.goto(`${ADMIN}/`);
  await page.fill('#token', ADMIN_TOKEN);
  await page.click('form button');
  await page.waitForSelector('#verdict-mark.good, #verdict-mark.idle');
}

const call = (name, args = {}, headers = {}) => fetch(`${LAN}/mcp/tools/call`, {
  method: 'POST',
  headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json', 'user-agent': 'LM Studio/0.4', ...headers },
  body: JSON.stringify({ name, arguments: args }),
});
const someCalls = async () => {
  await call('intent__HassTurnOn', { name: 'Reading Lamp' });
  await call('homeassistant__GetLiveContext');
  await call('intent__HassTurnOn', { name: 'Moon', code: '1234' });
  await call('no_such_tool', { x: 1 });
};
const shot = (page, name, fullPage = true) => page.screenshot({ path: `${SHOTS}${name}.png`, fullPage });
const text = (page, selector) => page.locator(selector).innerText();
const pressed = (page, name) => page.getByRole('button', { name, exact: true }).first().click();

async function axe(page, where) {
  await page.evaluate(`${AXE};0`);
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
  const { violations } = await page.evaluate((values) => window.axe.run(document, { runOnly: { type: 'tag', values } }), tags);
  const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.any[0]?.message ?? ''}`).join('; ')}`);
  assert.deepEqual(told, [], where);
}

/** Home Assistant around the page: a parent document of the same origin, and an ingress in between. */
async function homeAssistant(language = 'en') {
  const parent = `<!doctype html><html lang="${language}" style="--primary-background-color:#fafafa;--card-background-color:#ffffff;--primary-text-color:#141414">
    <head><link rel="icon" href="data:,"><title>Home Assistant</title><style>body{margin:0}iframe{border:0;width:100vw;height:100vh}</style></head>
    <body><iframe src="/api/hassio_ingress/t0ken/" title="MCP Bridge"></iframe></body></html>`;
  const server = createServer((request, reply) => {
    const path = request.url.split('/api/hassio_ingress/t0ken')[1];
    if (path === undefined) return reply.setHeader('content-type', 'text/html').end(parent);
    const { host, ...headers } = request.headers;
    delete headers['accept-encoding'];
    const passed = { ...headers, 'x-forwarded-host': host, 'x-ingress-path': '/api/hassio_ingress/t0ken', 'x-remote-user-id': '1', 'x-remote-user-display-name': 'Anna' };
    const inner = ask(`${ADMIN}${path}`, { method: request.method, headers: passed }, (answer) => {
      reply.writeHead(answer.statusCode, answer.headers);
      answer.pipe(reply);
      reply.on('close', () => answer.destroy());
    });
    inner.on('error', () => reply.destroy());
    request.pipe(inner);
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  server.unref();
  return `http://127.0.0.1:${server.address().port}`;
}

const VISITS = {
  /** From the form to a client that is connected. */
  async first_run() {
    const page = await open();
    await page.goto(`${ADMIN}/`);
    await page.fill('#token', TOKEN);
    await page.click('form button');
    assert.match(await text(page, '#wrong'), /not the admin token/);
    await shot(page, 'login-wrong');
    await signIn(page);
    await page.waitForSelector('#first:not([hidden])');
    assert.equal(await page.isVisible('#rest'), false, 'no empty tables');
    assert.ok((await page.locator('#step-1').getAttribute('class')).includes('done'));
    assert.equal(await page.isVisible('#step-3-inside'), false);
    assert.ok(!(await page.content()).includes(TOKEN), 'no token before it is asked for');
    await shot(page, 'first-run-1');
    for (const name of ['n8n', 'Open WebUI', 'Claude Code', 'Cursor', 'VS Code', 'curl', 'LM Studio']) {
      await page.getByRole('tab', { name, exact: true }).click();
      assert.ok((await text(page, '#tab-panel pre')).includes(`${LAN}/mcp`), name);
    }
    await page.getByRole('tab', { name: 'LM Studio' }).press('ArrowRight');
    assert.equal(await page.getByRole('tab', { selected: true }).innerText(), 'n8n');
    await page.getByRole('tab', { name: 'n8n' }).press('ArrowLeft');
    await pressed(page, 'Show');
    await page.waitForSelector('#step-3.open');
    await shot(page, 'first-run-2');
    assert.equal(await page.isVisible('#step-3-inside'), true);
    await call('intent__HassTurnOn', { name: 'Reading Lamp' });
    await page.waitForSelector('#rest:not([hidden])');
    assert.match(await text(page, '#arrival'), /Connected: default \(LM Studio\/0\.4\)/);
    const block = JSON.parse(await text(page, '#tab-panel pre'));
    assert.deepEqual(block.mcpServers['home-assistant'], { url: `${LAN}/mcp`, headers: { Authorization: `Bearer ${TOKEN}` }, timeout: 120000 });
    await shot(page, 'connected');
    // Whoever has connected once does not begin anew.
    await page.reload();
    await page.waitForSelector('#rest:not([hidden])');
    await pressed(page, 'Sign out');
    await page.waitForSelector('#token');
    await page.goto(`${ADMIN}/`);
    assert.match(page.url(), /\/login$/);
    return page;
  },

  /** Theme, language and direction of Home Assistant's own document, live. */
  async ingress() {
    const home = await homeAssistant('de');
    const page = await open({ colorScheme: 'light' });
    page.home = home;
    await page.goto(home);
    const frame = page.frameLocator('iframe');
    const own = () => page.frames().find((one) => one.url().includes('ingress'));
    await frame.locator('#verdict-mark.good, #verdict-mark.idle').waitFor();
    const lightBackground = await own().evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(lightBackground, 'rgb(250, 250, 250)');
    assert.equal(await own().evaluate(() => document.documentElement.lang), 'de');
    assert.equal(await frame.locator('#sign-out').isVisible(), false, 'Home Assistant lets people in and out');
    await someCalls();
    await frame.locator('.call').first().waitFor();
    assert.equal(await frame.locator('#calls-title').innerText(), 'Letzte Aufrufe');
    await shot(page, 'ingress-german', false);
    await page.evaluate(() => {
      const { style } = document.documentElement;
      style.setProperty('--primary-background-color', '#101418');
      style.setProperty('--card-background-color', '#1a2026');
      style.setProperty('--primary-text-color', '#e1e1e1');
      document.documentElement.lang = 'fr';
    });
    await frame.getByRole('heading', { name: 'Appels récents' }).waitFor();
    assert.equal(await own().evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(16, 20, 24)');
    assert.equal(await own().evaluate(() => document.documentElement.className), 'dark');
    await shot(page, 'ingress-dark-french', false);
    await page.evaluate(() => {
      document.documentElement.lang = 'he';
      document.documentElement.dir = 'rtl';
    });
    await frame.getByRole('heading', { name: 'Recent calls' }).waitFor();
    assert.equal(await own().evaluate(() => getComputedStyle(document.body).direction), 'rtl');
    await shot(page, 'ingress-right-to-left', false);
    // A change through the ingress carries the page's own header.
    await frame.getByRole('button', { name: 'Pause', exact: true }).click();
    await frame.locator('#alerts .alert').waitFor();
    await frame.getByRole('button', { name: 'Resume', exact: true }).first().click();
    await frame.locator('#alerts .alert').waitFor({ state: 'detached' });
    return page;
  },

  /** Every button does what it says. */
  async buttons() {
    const page = await open();
    await signIn(page);
    await someCalls();
    await fetch(`${LAN}/mcp/ping`, { method: 'POST', headers: { authorization: 'Bearer eyJx', 'user-agent': 'n8n' } });
    await page.waitForSelector('#refused li');
    assert.match(await text(page, '#refused li'), /127\.0\.0\.1 Home Assistant token used/);
    await pressed(page, 'Clear list');
    await page.waitForSelector('#refused li', { state: 'detached' });
    await page.waitForFunction(() => document.querySelectorAll('.call').length === 4);
    // A call that went wrong says why, and nothing secret.
    await page.locator('.call summary', { hasText: 'Moon' }).click();
    const opened = page.locator('.call[open]');
    await opened.locator('.bar-words').waitFor();
    assert.match(await opened.innerText(), /No entities matched the name[\s\S]*not exposed to Assist/);
    assert.ok(!(await page.content()).includes('1234'));
    assert.match(await opened.innerText(), /waited .*\sat Home Assistant .*\stotal/s);
    await pressed(page, 'Errors only');
    await page.waitForFunction(() => document.querySelectorAll('.call').length === 2);
    assert.equal(await opened.count(), 1, 'what is open stays open');
    await pressed(page, 'Errors only');
    await page.getByLabel('Client', { exact: true }).selectOption('default');
    assert.equal(await page.locator('.call').count(), 4);
    await pressed(page, 'Hold the list');
    await call('homeassistant__GetLiveContext', { domain: 'light' });
    await page.waitForFunction(() => document.querySelector('#figure-calls .big').textContent === '5');
    assert.equal(await page.locator('.call').count(), 4);
    await pressed(page, 'Hold the list');
    await page.waitForFunction(() => document.querySelectorAll('.call').length === 5);
    // The queue.
    await pressed(page, 'Pause');
    await page.waitForSelector('#alerts .alert');
    const held = call('homeassistant__GetLiveContext', { area: 'Kitchen' });
    await page.waitForFunction(() => document.querySelector('#figure-waiting .big').textContent.startsWith('1'));
    await shot(page, 'paused');
    await page.locator('#alerts').getByRole('button', { name: 'Resume' }).click();
    assert.equal((await held).status, 200);
    await page.waitForSelector('#alerts .alert', { state: 'detached' });
    await pressed(page, 'Drain');
    await page.locator('dialog').getByRole('button', { name: 'Cancel' }).click();
    assert.equal(await page.locator('#alerts .alert').count(), 0);
    await pressed(page, 'Drain');
    await page.locator('dialog').getByRole('button', { name: 'Drain' }).click();
    await page.waitForSelector('#alerts .alert');
    assert.match(await text(page, '#verdict'), /New calls are refused/);
    await page.locator('#operate').getByRole('button', { name: 'Resume' }).click();
    await page.waitForSelector('#alerts .alert', { state: 'detached' });
    // The log.
    await pressed(page, 'Show the log');
    await page.getByLabel('How much is logged').selectOption('debug');
    await page.locator('.line', { hasText: 'the log level was changed' }).waitFor();
    await shot(page, 'log');
    await pressed(page, 'Hide the log');
    assert.equal(await page.locator('.line').count(), 0);
    // Diagnostics.
    const [download] = await Promise.all([page.waitForEvent('download'), pressed(page, 'Download')]);
    const diagnostics = readFileSync(await download.path(), 'utf8');
    assert.ok(JSON.parse(diagnostics).calls.length >= 5);
    for (const secret of [TOKEN, ADMIN_TOKEN, 'Moon']) assert.ok(!diagnostics.includes(secret), secret);
    return page;
  },

  /** A client is made, changed, switched off, given a new token and revoked. */
  async clients() {
    const page = await open();
    await signIn(page);
    await pressed(page, 'Show everything');
    await pressed(page, 'Add a client');
    const dialog = page.locator('dialog').last();
    await dialog.getByLabel('Name').fill('n8n in the cellar');
    await dialog.getByLabel(/Look only/).check();
    await shot(page, 'client-new', false);
    await axe(page, 'new client');
    await dialog.getByRole('button', { name: 'Create and show the token' }).click();
    await page.waitForSelector('dialog', { state: 'detached' });
    // The page goes on with its token, in the block of its program.
    assert.equal(await page.getByRole('tab', { selected: true }).innerText(), 'n8n');
    const token = await page.inputValue('#token');
    assert.match(token, /^mcpb_[a-z2-9]{30,}$/);
    assert.ok((await text(page, '#tab-panel pre')).includes(token));
    await shot(page, 'client-token', false);
    const as = (bearer, name, args) => fetch(`${LAN}/mcp/tools/call`, { method: 'POST', headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', 'user-agent': 'n8n/2.0' }, body: JSON.stringify({ name, arguments: args }) });
    const outcome = async (bearer) => (await as(bearer, 'intent__HassTurnOn', { name: 'Reading Lamp', domain: ['light'] })).json();
    assert.equal((await outcome(token)).code, 'denied');
    await page.locator('#arrival.there').waitFor();
    assert.match(await text(page, '#arrival'), /Connected: n8n in the cellar \(n8n\/2\.0\)/);
    const row = page.getByRole('row', { name: /n8n in the cellar/ });
    assert.match(await row.innerText(), /Look only/);
    // Its rights are widened; a rate that is none is told, and nothing lost.
    await row.getByRole('button', { name: 'Change n8n in the cellar' }).click();
    await dialog.getByLabel('Look and act').check();
    await dialog.locator('.further summary').first().click();
    await dialog.getByLabel('Never these tools').fill('*Unlock*');
    await dialog.getByText('Pick from the list').last().click();
    const picked = dialog.getByRole('button', { name: 'light__HassLightSet', exact: true }).last();
    await picked.click();
    assert.equal(await picked.getAttribute('aria-pressed'), 'true');
    assert.equal(await dialog.getByLabel('Never these tools').inputValue(), '*Unlock*\nlight__HassLightSet');
    await picked.click();
    await dialog.getByLabel('Locks').selectOption('confirm');
    await dialog.getByLabel('Calls at most').fill('often');
    await shot(page, 'client-change', false);
    await dialog.getByRole('button', { name: 'Save' }).click();
    await dialog.locator('.bad', { hasText: /rate|60\/min/ }).waitFor();
    assert.match(page.troubles.pop(), /400/, 'the browser says it, too');
    await dialog.getByLabel('Calls at most').fill('60/min');
    await dialog.getByRole('button', { name: 'Save' }).click();
    await page.waitForSelector('dialog', { state: 'detached' });
    await row.getByText('Limited').waitFor();
    assert.equal((await outcome(token)).isError, false);
    await row.getByRole('button').click();
    await dialog.locator('.further summary').first().click();
    assert.equal(await dialog.getByLabel('Calls at most').inputValue(), '60/min');
    assert.equal(await dialog.getByLabel('Never these tools').inputValue(), '*Unlock*');
    assert.equal(await dialog.getByLabel('Locks').inputValue(), 'confirm');
    // Off and on again.
    await dialog.getByRole('button', { name: 'Switch off' }).click();
    await row.getByText('Switched off').waitFor();
    assert.equal((await as(token, 'x', {})).status, 401);
    await row.getByRole('button').click();
    await dialog.getByRole('button', { name: 'Switch on' }).click();
    await row.getByText('Limited').waitFor();
    // A new token, and the old one ends.
    await row.getByRole('button').click();
    await dialog.getByRole('button', { name: 'New token' }).click();
    await page.getByLabel('End the old token at once').check();
    await page.locator('dialog').last().getByRole('button', { name: 'New token' }).click();
    await page.waitForSelector('dialog', { state: 'detached' });
    const next = await page.inputValue('#token');
    assert.notEqual(next, token);
    assert.equal((await as(token, 'x', {})).status, 401);
    assert.equal((await outcome(next)).isError, false);
    // Other clients' tokens are not kept, and nothing pretends that they are.
    await page.reload();
    await page.getByRole('row', { name: /n8n in the cellar/ }).waitFor();
    await page.evaluate(() => (document.getElementById('connect').open = true));
    await page.getByLabel('Client', { exact: true }).first().selectOption('n8n in the cellar');
    await page.locator('#connect').getByRole('button', { name: 'Show' }).click();
    await page.locator('#toast', { hasText: 'not kept' }).waitFor();
    // Revoked for good.
    await row.getByRole('button').click();
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await page.locator('dialog').last().getByRole('button', { name: 'Cancel' }).click();
    await dialog.getByRole('button', { name: 'Revoke' }).click();
    await page.locator('dialog').last().getByRole('button', { name: 'Revoke' }).click();
    await row.waitFor({ state: 'detached' });
    assert.equal((await as(next, 'x', {})).status, 401);
    return page;
  },

  /** A held call is agreed to, another refused. */
  async approvals() {
    const page = await open();
    await signIn(page);
    const change = { method: 'PATCH', headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' }, body: JSON.stringify({ terms: { rights: { sensitive: { lock: 'confirm' } } } }) };
    assert.equal((await fetch(`${ADMIN}/api/clients/default`, change)).status, 200);
    const lock = async () => (await call('intent__HassTurnOn', { name: 'Front Door', domain: ['lock'] })).json();
    const agreed = lock();
    await page.locator('#approvals li').waitFor();
    assert.match(await text(page, '#approvals'), /default wants to call intent__HassTurnOn[\s\S]*name=Front Door/);
    assert.equal(await page.title(), '(1) MCP Bridge');
    await axe(page, 'approvals');
    await shot(page, 'approvals');
    await page.getByRole('button', { name: /^Allow once: default/ }).click();
    assert.equal((await agreed).isError, false);
    await page.locator('#approvals li').waitFor({ state: 'detached' });
    const refused = lock();
    await page.getByRole('button', { name: /^Refuse: default/ }).click();
    assert.equal((await refused).code, 'approval_refused');
    await page.locator('#approvals li').waitFor({ state: 'detached' });
    assert.equal(await page.title(), 'MCP Bridge');
    return page;
  },

  /** The whole way is tried, and where it ends there is something to do. */
  async check() {
    const page = await open();
    await signIn(page);
    await pressed(page, 'Test');
    const steps = page.locator('dialog li.good-step');
    await steps.nth(2).waitFor();
    assert.match(await text(page, 'dialog'), /List of tools 16[\s\S]*A harmless call llm__GetDateTime[\s\S]*Port for clients 127\.0\.0\.1/);
    assert.equal(await page.locator('dialog li.bad-step').count(), 0);
    await axe(page, 'check');
    await shot(page, 'check', false);
    await page.locator('dialog').getByRole('button', { name: 'Close' }).click();
    await page.waitForSelector('dialog', { state: 'detached' });
    return page;
  },

  /** The tools, and what they cost. */
  async tools() {
    const page = await open();
    await signIn(page);
    await someCalls();
    await page.waitForFunction(() => document.querySelectorAll('.call').length === 4);
    await page.locator('#tools summary').click();
    const row = page.getByRole('row', { name: /intent__HassTurnOn/ });
    assert.match(await row.innerText(), /Acts\s+\d+\s+2\s+1$/);
    assert.match(await page.getByRole('row', { name: /GetLiveContext/ }).innerText(), /Looks only/);
    assert.match(await text(page, '#tools-inside'), /16 tools, about [\d,]+ tokens/);
    await axe(page, 'tools');
    await shot(page, 'tools');
    return page;
  },

  /** The settings in force, and what the cache knows. */
  async settings() {
    const page = await open();
    await signIn(page);
    await pressed(page, 'Show everything');
    await page.locator('#settings summary').click();
    await page.getByRole('row', { name: /^demo true command line$/ }).waitFor();
    assert.equal(await page.getByText('queue.call_timeout').count(), 0);
    await page.getByRole('button', { name: /^Show all/ }).click();
    assert.match(await page.getByRole('row', { name: /queue\.call_timeout/ }).innerText(), /50s\s+default/);
    await axe(page, 'settings');
    await shot(page, 'settings');
    await pressed(page, 'Forget');
    await page.locator('#toast', { hasText: 'Forgotten' }).waitFor();
    return page;
  },

  /** What somebody sees who has just installed the app: Home Assistant is found, a token is there, and an SDK client arrives with it. */
  async installed() {
    const page = await open();
    page.home = new URL(INGRESS).origin;
    await page.goto(INGRESS);
    await page.locator('#verdict-mark.good').waitFor();
    assert.match(await text(page, '#verdict'), /Home Assistant is reachable/);
    assert.match(await text(page, '#step-1-inside'), /Found at .*\/core\/api\/mcp/);
    await shot(page, 'installed-1');
    await pressed(page, 'Show');
    await page.waitForSelector('#step-3.open');
    const block = async () => JSON.parse(await text(page, '#tab-panel pre')).mcpServers['home-assistant'];
    const { port } = new URL(LAN);
    await page.locator('#address option').nth(2).waitFor({ state: 'attached' });
    assert.equal((await block()).url, `http://192.168.1.10:${port}/mcp`, 'as the Supervisor says');
    assert.deepEqual((await page.locator('#address option').allInnerTexts()).slice(1),
      [`http://127.0.0.1:${port}/mcp`, `http://0a1b2c3d-mcp-bridge:${port}/mcp (for other apps of this Home Assistant)`]);
    // This browser and this client are on the machine itself.
    await page.getByLabel('Address').selectOption(`${LAN}/mcp`);
    const { url, headers } = await block();
    const token = headers.Authorization.replace('Bearer ', '');
    const client = new URL('../clients/typescript.mjs', import.meta.url).pathname;
    const { stdout } = await promisify(execFile)('node', [client, '--sdk', 'v1', '--url', url, '--token', token, '--call', 'intent__HassTurnOn', '--arguments', '{"name":"Reading Lamp"}']);
    const seen = JSON.parse(stdout);
    assert.equal(seen.call.isError, false, stdout);
    await page.waitForSelector('#rest:not([hidden])');
    assert.match(await text(page, '#arrival'), /Connected: default/);
    await page.locator('#beat-state', { hasText: /Running since .* · 20\d\d\.\d+/ }).waitFor();
    await page.locator('.call', { hasText: 'Reading Lamp' }).waitFor();
    await shot(page, 'installed-2');
    return page;
  },

  /** A thousand calls weigh no more than fifty. */
  async thousand_calls() {
    const page = await open();
    await signIn(page);
    for (let done = 0; done < 1000; done += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, n) => call('light__HassLightSet', { name: 'Desk Lamp', brightness: (done + n) % 100 }, { 'idempotency-key': `${done + n}` })));
    }
    await page.waitForFunction(() => document.querySelector('#figure-calls .big')?.textContent === '1,000');
    await page.reload();
    await page.waitForSelector('.call');
    const nodes = () => page.evaluate(() => document.querySelectorAll('*').length);
    assert.equal(await page.locator('.call').count(), 50);
    assert.ok((await nodes()) < 1200, `${await nodes()} nodes`);
    await pressed(page, 'Show 50 more');
    await page.waitForFunction(() => document.querySelectorAll('.call').length === 100);
    await pressed(page, 'Show older ones');
    await page.waitForFunction(() => document.querySelectorAll('.call').length === 150);
    await shot(page, 'many-calls', false);
    return page;
  },

  /** From the smallest telephone to the largest screen, nothing sticks out. */
  async sizes() {
    const page = await open();
    await signIn(page);
    await someCalls();
    await page.waitForSelector('.call');
    await page.locator('#connect summary').click().catch(() => {});
    for (const width of [320, 360, 768, 1280, 3840]) {
      await page.setViewportSize({ width, height: 800 });
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(beyond <= 0, `${width} px: ${beyond} too wide`);
      await shot(page, `width-${width}`);
    }
    // What is touched is large enough.
    await page.setViewportSize({ width: 360, height: 800 });
    const small = await page.evaluate(() => [...document.querySelectorAll('button, select, summary')]
      .filter((element) => element.checkVisibility() && element.getBoundingClientRect().height < 43.5).map((element) => element.textContent));
    assert.deepEqual(small, []);
    return page;
  },

  /** Nothing that the rules for accessible pages forbid, in light and dark. */
  async accessible() {
    let page;
    for (const colorScheme of ['light', 'dark']) {
      page = await open({ colorScheme, reducedMotion: 'reduce' });
      await page.goto(`${ADMIN}/login?wrong`);
      await axe(page, `login, ${colorScheme}`);
      await signIn(page);
      if (colorScheme === 'light') {
        await page.waitForSelector('#first:not([hidden])');
        await axe(page, 'first run');
        await someCalls();
      }
      await page.waitForSelector('.call');
      await fetch(`${LAN}/mcp/ping`, { method: 'POST' });
      await page.waitForSelector('#refused li');
      await page.locator('.call summary', { hasText: 'Moon' }).click();
      if (!(await page.locator('#connect').getAttribute('open'))) await page.evaluate(() => (document.getElementById('connect').open = true));
      await pressed(page, 'Show the log');
      await page.waitForSelector('.line');
      await pressed(page, 'Pause');
      await page.waitForSelector('#alerts .alert');
      await axe(page, `page, ${colorScheme}`);
      await shot(page, `page-${colorScheme}`);
      await page.locator('#alerts').getByRole('button', { name: 'Resume' }).click();
      await page.waitForSelector('#alerts .alert', { state: 'detached' });
      assert.deepEqual(page.troubles, []);
    }
    return page;
  },

  /** The core without any script. */
  async without_script() {
    await someCalls();
    const page = await open({ javaScriptEnabled: false, locale: 'nl-NL' });
    await page.goto(`${ADMIN}/`);
    await page.fill('#token', ADMIN_TOKEN);
    await page.click('form button');
    const said = await text(page, 'body');
    assert.match(said, /Actief\. Home Assistant is bereikbaar/);
    assert.ok(said.includes(`${LAN}/mcp`), said);
    assert.match(said, /default\s+4\s+2/);
    await shot(page, 'without-script');
    return page;
  },

  /** Where events do not come through, the page asks. */
  async without_events() {
    const page = await open();
    await page.route('**/api/events**', () => {});
    await page.goto(`${ADMIN}/`);
    await page.fill('#token', ADMIN_TOKEN);
    await page.click('form button');
    await page.waitForSelector('#first:not([hidden])');
    await call('intent__HassTurnOn', { name: 'Reading Lamp' });
    await page.waitForSelector('.call');
    return page;
  },

  /** What has to be loaded to see everything, and what troubles look like. */
  async trouble() {
    const page = await open();
    await signIn(page);
    await pressed(page, 'Show everything');
    await page.waitForSelector('#rest:not([hidden])');
    call('homeassistant__GetLiveContext', {}, { 'x-request-timeout': '1s' }).catch(() => {});
    await page.waitForSelector('#alerts .alert');
    assert.match(await text(page, '#verdict'), /Home Assistant does not answer properly/);
    assert.match(await text(page, '#alerts'), /Check that it runs/);
    await pressed(page, 'Test');
    await page.locator('dialog li.bad-step').first().waitFor();
    assert.match(await text(page, 'dialog'), /List of tools[\s\S]*Check that it runs/);
    await page.keyboard.press('Escape');
    await page.waitForSelector('dialog', { state: 'detached' });
    await shot(page, 'trouble');
    return page;
  },

  /** A configuration that changes: what counts later, and what was refused. */
  async configuration() {
    const page = await open();
    await signIn(page);
    writeFileSync(process.env.FILE, 'demo: true\nmetrics: {listen: 127.0.0.1:0}\n');
    await page.waitForSelector('#alerts .alert.warn');
    assert.match(await text(page, '#alerts'), /Some settings count after a restart\s+Changed, but not in force yet: metrics\.listen/);
    writeFileSync(process.env.FILE, 'demo: true\nqueue: {max_parallel_calls: 0}\n');
    await page.waitForSelector('#alerts .alert.bad');
    assert.match(await text(page, '#alerts'), /The new configuration was refused\s+The one before stays in force\..*max_parallel_calls/);
    await shot(page, 'configuration');
    writeFileSync(process.env.FILE, 'demo: true\n');
    await page.waitForFunction(() => !document.querySelector('#alerts .alert'));
    return page;
  },

  /** Light enough for an old tablet. */
  async weight() {
    const page = await open();
    await page.goto(`${ADMIN}/login`);
    page.bytes = 0;
    await signIn(page);
    await page.waitForLoadState('load');
    await page.waitForTimeout(200);
    assert.ok(page.bytes > 10_000 && page.bytes < 60_000, `${page.bytes} bytes`);
    return page;
  },
};

try {
  const page = await VISITS[process.argv[2]]();
  assert.deepEqual(page.troubles, []);
  console.log('fine');
} finally {
  await browser.close();
}
