// What a client needs: the address, a token, the block to paste; and whether it has arrived.

import { action, byId, change, copy, el, fill, toast } from './dom.js';
import { ago, number, t } from './texts.js';
import { state } from './state.js';

const HIDDEN = 'mcpb_••••••••••••';
const KNOWN = 'mcp-bridge-connected';
/** The client that was made at the first start; its token is the only one that is kept. */
const FIRST = 'default';

const base64 = (value) => btoa(JSON.stringify(value));
const pretty = (value) => JSON.stringify(value, null, 2);
const server = (url, token) => ({ url, headers: { Authorization: `Bearer ${token}` } });

/** Each client with its block, and the link that opens it, where it has one. */
const CLIENTS = [
  { id: 'lmstudio', name: 'LM Studio',
    block: (url, token) => pretty({ mcpServers: { 'home-assistant': { ...server(url, token), timeout: 120000 } } }),
    link: (url, token) => `lmstudio://add_mcp?name=home-assistant&config=${encodeURIComponent(base64({ ...server(url, token), timeout: 120000 }))}` },
  { id: 'n8n', name: 'n8n',
    block: (url, token) => `Endpoint:          ${url}\nServer Transport:  HTTP Streamable\nAuthentication:    Bearer Auth\nBearer Token:      ${token}` },
  { id: 'openwebui', name: 'Open WebUI', block: (url, token) => `Type:  MCP (Streamable HTTP)\nURL:   ${url}\nAuth:  Bearer\nKey:   ${token}` },
  { id: 'claude', name: 'Claude Code',
    block: (url, token) => `claude mcp add --transport http home-assistant ${url} \\\n  --header "Authorization: Bearer ${token}"` },
  { id: 'desktop', name: 'Claude Desktop',
    block: (url, token) => pretty({ mcpServers: { 'home-assistant': { command: 'npx',
      args: ['-y', 'mcp-remote', url, ...(url.startsWith('http:') ? ['--allow-http'] : []), '--header', 'Authorization:${AUTH}'], env: { AUTH: `Bearer ${token}` } } } }) },
  { id: 'cursor', name: 'Cursor', block: (url, token) => pretty({ mcpServers: { 'home-assistant': server(url, token) } }),
    link: (url, token) => `cursor://anysphere.cursor-deeplink/mcp/install?name=home-assistant&config=${encodeURIComponent(base64(server(url, token)))}` },
  { id: 'vscode', name: 'VS Code', block: (url, token) => pretty({ servers: { 'home-assistant': { type: 'http', ...server(url, token) } } }),
    link: (url, token) => `vscode:mcp/install?${encodeURIComponent(JSON.stringify({ name: 'home-assistant', type: 'http', ...server(url, token) }))}` },
  { id: 'curl', name: 'curl',
    block: (url, token) => `curl -X POST ${url}/tools/list \\\n  -H "Authorization: Bearer ${token}"` },
];

let tab = CLIENTS[0];
let address;
/** The address that the reader chose; better ones may come to be known while nothing is chosen. */
let chosen;
let shown = false;
let client = FIRST;
/** Tokens that this page was told, by client. */
const told = new Map();
/** Whether the block was taken to where it belongs, as far as this page can tell. */
let taken = false;

/** Whether a client has ever come in, as far as this browser knows. */
export function hasConnected() {
  const seen = Boolean(state.clients?.some((one) => one.seen));
  if (seen) remember();
  try {
    return seen || localStorage.getItem(KNOWN) === '1';
  } catch {
    return seen;
  }
}

function remember() {
  try {
    localStorage.setItem(KNOWN, '1');
  } catch { /* A browser that keeps nothing asks again the next time. */ }
}

/** The page goes on with the token of a client that was made just now, and shows it this once. */
export function useToken(name, fresh) {
  told.set(name, fresh);
  [client, shown, taken] = [name, true, true];
  tab = CLIENTS.find((one) => name.toLowerCase().startsWith(one.name.toLowerCase())) ?? tab;
  const place = byId('connect');
  place.open = true;
  drawConnect();
  place.scrollIntoView({ block: 'start' });
  byId('token')?.focus({ preventScroll: true });
  toast(t('connect.shown_once'));
}

/** Names that only exist in private networks, and addresses: clients there can use them as well. */
const isPrivate = (host) => /^(localhost|[^.]+|.+\.(local|lan|home|internal|home\.arpa)|[\d.]+|\[.*\])$/.test(host);

function addresses() {
  const { listen } = state.bridge;
  const { place } = state.app ?? {};
  const scheme = listen.tls ? 'https' : 'http';
  const port = place?.port ?? listen.port;
  const own = window.location.hostname;
  const all = [...(isPrivate(own) ? [own] : []), ...(place?.hosts ?? listen.hosts).map((host) => (host.includes(':') ? `[${host}]` : host))];
  // An address of this machine alone is of use to programs on it, and to nobody else.
  const local = (host) => /^(localhost|127\.|\[::1\])/.test(host);
  const sorted = [...new Set(all)].sort((one, other) => local(one) - local(other));
  const outside = sorted.map((host) => `${scheme}://${host}:${port}/mcp`);
  // Other apps of the same Home Assistant are in the network of the containers.
  return place ? [...outside, `${scheme}://${place.hostname}:${listen.port}/mcp`] : outside;
}

/** Whether the third step can begin. */
export const isTaken = () => taken;

async function fetchToken() {
  if (!told.has(client)) {
    if (client !== FIRST) throw new Error(t('connect.not_kept', { client }));
    told.set(client, (await change('api/first-token')).token);
  }
  taken = true;
  document.dispatchEvent(new Event('taken'));
  return told.get(client);
}

function tabs() {
  const list = el('div', { role: 'tablist', 'aria-label': t('connect.title'), keydown: (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = CLIENTS[(CLIENTS.indexOf(tab) + step * (document.dir === 'rtl' ? -1 : 1) + CLIENTS.length) % CLIENTS.length];
    event.preventDefault();
    choose(next);
    byId(`tab-${next.id}`).focus();
  } });
  for (const one of CLIENTS) {
    const chosen = one === tab;
    list.append(el('button', { type: 'button', role: 'tab', id: `tab-${one.id}`, 'data-key': `tab-${one.id}`, 'aria-selected': String(chosen),
      'aria-controls': 'tab-panel', tabindex: chosen ? '0' : '-1', click: () => choose(one) }, one.name));
  }
  return list;
}

function choose(one) {
  tab = one;
  drawConnect();
}

export function drawConnect() {
  if (!state.bridge) return;
  const all = addresses();
  address = all.includes(chosen) ? chosen : all[0];
  const panel = byId('connect-panel');
  const names = (state.clients ?? []).filter((one) => one.registered || told.has(one.name)).map(({ name }) => name);
  // One that was made just now is not told of yet.
  if (names.length > 0 && !names.includes(client) && !told.has(client)) [client, shown] = [names[0], false];
  const key = JSON.stringify([tab.id, all, address, shown, told.get(client), client, names, t('connect.copy')]);
  if (panel.dataset.drawn !== key) {
    panel.dataset.drawn = key;
    fill(panel, ...parts(all, [...new Set([...names, client])]));
  }
  drawArrival();
}

function parts(all, names) {
  const visible = (shown && told.get(client)) || HIDDEN;
  const whose = el('select', { id: 'whose', 'data-key': 'whose', change: ({ target }) => (([client, shown] = [target.value, told.has(target.value)]), drawConnect()) },
    names.map((one) => el('option', { value: one, selected: one === client }, one)));
  const select = el('select', { id: 'address', 'data-key': 'address', change: ({ target }) => ((chosen = target.value), drawConnect()) },
    all.map((one) => el('option', { value: one, selected: one === address }, one.includes(`//${state.app?.place?.hostname}:`) ? t('connect.for_apps', { url: one }) : one)));
  const copyText = async (text) => toast(t((await copy(text)) ? 'connect.copied' : 'connect.copy_failed'));
  const link = tab.link;
  return [
    tabs(),
    el('div', { role: 'tabpanel', id: 'tab-panel', 'aria-labelledby': `tab-${tab.id}` },
      el('div', { class: 'fields' },
        el('div', {}, el('label', { for: 'address' }, t('connect.address')), el('div', { class: 'field-row' }, select)),
        names.length > 1 && el('div', {}, el('label', { for: 'whose' }, t('connect.client')), el('div', { class: 'field-row' }, whose)),
        el('div', {}, el('label', { for: 'token' }, t('connect.token', { client })),
          el('div', { class: 'field-row' },
            el('input', { id: 'token', class: 'code', readonly: true, value: visible, autocomplete: 'off', spellcheck: 'false' }),
            action(t(shown ? 'connect.hide' : 'connect.show'), async () => {
              if (!shown) await fetchToken();
              shown = !shown;
              drawConnect();
            })))),
      el('p', { class: 'how' }, t(`connect.how_${tab.id}`)),
      el('div', { class: 'block' }, el('pre', { tabindex: '0', role: 'group', 'aria-label': tab.name }, tab.block(address, visible))),
      el('div', { class: 'actions' },
        action(t('connect.copy'), async () => copyText(tab.block(address, await fetchToken())), { class: 'main' }),
        link && action(t('connect.open', { client: tab.name }), async () => window.open(link(address, await fetchToken()), '_self')))),
    el('div', { class: 'listen', id: 'arrival' }),
  ];
}

function drawArrival() {
  const there = state.clients?.find(({ name, seen }) => name === client && seen);
  const text = there
    ? t('connect.there', { client, program: there.program ?? '–', seen: ago(there.seen), calls: number(there.calls) })
    : t('connect.waiting');
  const pulse = () => [el('span', { class: 'pulse', 'aria-hidden': 'true' }), el('span', {}, text)];
  const line = byId('arrival');
  line.classList.toggle('there', Boolean(there));
  fill(line, pulse());
  fill(byId('step-3-inside'), el('p', {}, t('first.ask')), el('div', { class: 'listen' }, pulse()));
  fill(byId('skip-first'), action(t('first.skip'), () => {
    remember();
    window.location.reload();
  }, { class: 'plain' }));
}
