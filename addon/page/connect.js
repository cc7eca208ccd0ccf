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
  { id: 'cursor', name: 'Cursor', block: (url, token) => pretty({ mcpServers: { 'home-assistant': server(url, token) } }),
    link: (url, token) => `cursor://anysphere.cursor-deeplink/mcp/install?name=home-assistant&config=${encodeURIComponent(base64(server(url, token)))}` },
  { id: 'vscode', name: 'VS Code', block: (url, token) => pretty({ servers: { 'home-assistant': { type: 'http', ...server(url, token) } } }),
    link: (url, token) => `vscode:mcp/install?${encodeURIComponent(JSON.stringify({ name: 'home-assistant', type: 'http', ...server(url, token) }))}` },
  { id: 'curl', name: 'curl',
    block: (url, token) => `curl -X POST ${url}/tools/list \\\n  -H "Authorization: Bearer ${token}"` },
];

let tab = CLIENTS[0];
let address;
let token;
let shown = false;
let client = FIRST;
/** Whether the block was taken to where it belongs, as far as this page can tell. */
let taken = false;

/** Whether a client has ever come in, as far as this browser knows. */
export function hasConnected() {
  if (state.clients?.length) remember();
  try {
    return localStorage.getItem(KNOWN) === '1' || Boolean(state.clients?.length);
  } catch {
    return Boolean(state.clients?.length);
  }
}

function remember() {
  try {
    localStorage.setItem(KNOWN, '1');
  } catch { /* A browser that keeps nothing asks again the next time. */ }
}

/** The page goes on with the token of a client that was made just now. */
export function useToken(name, fresh) {
  [client, token, shown] = [name, fresh, true];
  drawConnect();
}

/** Names that only exist in private networks, and addresses: clients there can use them as well. */
const isPrivate = (host) => /^(localhost|[^.]+|.+\.(local|lan|home|internal|home\.arpa)|[\d.]+|\[.*\])$/.test(host);

function addresses() {
  const { port, hosts } = state.bridge.listen;
  const own = window.location.hostname;
  const all = [...(isPrivate(own) ? [own] : []), ...hosts.map((host) => (host.includes(':') ? `[${host}]` : host))];
  // An address of this machine alone is of use to programs on it, and to nobody else.
  const local = (host) => /^(localhost|127\.|\[::1\])/.test(host);
  const sorted = [...new Set(all)].sort((one, other) => local(one) - local(other));
  return sorted.map((host) => `http://${host}:${port}/mcp`);
}

/** Whether the third step can begin. */
export const isTaken = () => taken;

async function fetchToken() {
  taken = true;
  document.dispatchEvent(new Event('taken'));
  token ??= (await change('api/first-token')).token;
  return token;
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
  address = all.includes(address) ? address : all[0];
  const panel = byId('connect-panel');
  const key = JSON.stringify([tab.id, all, address, shown, token, client, t('connect.copy')]);
  if (panel.dataset.drawn !== key) {
    panel.dataset.drawn = key;
    fill(panel, ...parts(all));
  }
  drawArrival();
}

function parts(all) {
  const visible = shown && token ? token : HIDDEN;
  const select = el('select', { id: 'address', 'data-key': 'address', change: ({ target }) => ((address = target.value), drawConnect()) },
    all.map((one) => el('option', { value: one, selected: one === address }, one)));
  const copyText = async (text) => toast(t((await copy(text)) ? 'connect.copied' : 'connect.copy_failed'));
  const link = tab.link;
  return [
    tabs(),
    el('div', { role: 'tabpanel', id: 'tab-panel', 'aria-labelledby': `tab-${tab.id}` },
      el('div', { class: 'fields' },
        el('div', {}, el('label', { for: 'address' }, t('connect.address')), el('div', { class: 'field-row' }, select)),
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
  const there = state.clients?.find(({ name }) => name === client);
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
