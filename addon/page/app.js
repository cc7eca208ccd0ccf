// The page: what stands where, and what is drawn anew when something has changed.

import { action, byId, change, el, fill } from './dom.js';
import { follow, navigate } from './look.js';
import { watch } from './live.js';
import { has, number, speak, t } from './texts.js';
import { absorb, state } from './state.js';
import { drawBeat, drawCards } from './charts.js';
import { drawConnect, hasConnected, isTaken } from './connect.js';
import { drawApprovals } from './approvals.js';
import { drawClients, drawRefused } from './clients.js';
import { drawCalls } from './calls.js';
import { drawCheck } from './check.js';
import { drawFooter, drawLog, drawOperate, restart } from './operate.js';
import { redrawTools, watchTools } from './tools.js';
import { redrawSettings, watchSettings } from './settings.js';

const ALERT = 'M13 14H11V9H13M13 18H11V16H13M1 21H23L12 2L1 21Z';
/** Where in Home Assistant a trouble is mended, by its code. */
const PLACES = {
  home_assistant_forbids: '/config/integrations/integration/mcp_server',
};

function verdict() {
  const { bridge, queue, home_assistant: house } = state;
  if (!bridge) return;
  let [key, mark] = ['verdict.ready', 'idle'];
  if (state.lost) [key, mark] = ['verdict.lost', 'bad'];
  else if (bridge.state === 'stopping') [key, mark] = ['verdict.stopping', 'warn'];
  else if (queue.mode === 'paused') [key, mark] = ['verdict.paused', 'warn'];
  else if (queue.mode === 'draining') [key, mark] = ['verdict.draining', 'warn'];
  else if (house.presence === 'starting') [key, mark] = ['verdict.starting', 'warn'];
  else if (['stopping', 'gone'].includes(house.presence)) [key, mark] = ['verdict.away', 'warn'];
  else if (house.reachable === false) [key, mark] = ['verdict.trouble', 'bad'];
  else if (house.reachable || house.presence === 'running') [key, mark] = ['verdict.running', 'good'];
  const text = t(key, { clients: number(bridge.clients), waiting: number(queue.waiting) });
  // A region that is read aloud: only real news.
  if (byId('verdict-text').textContent !== text) byId('verdict-text').textContent = text;
  byId('verdict-mark').className = `mark ${mark}`;
}

function alert(kind, title, text, button) {
  const icon = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  icon.setAttribute('viewBox', '0 0 24 24');
  icon.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', ALERT);
  icon.append(path);
  return el('section', { class: `alert ${kind}` }, icon, el('div', {}, el('strong', {}, title), el('p', {}, text)), button);
}

function alerts() {
  const { queue, home_assistant: house } = state;
  if (!queue || !house) return;
  const found = [];
  const { trouble, breaker } = house;
  if (trouble) {
    const title = has(`code.${trouble.code}`) ? t(`code.${trouble.code}`) : trouble.title;
    const text = [has(`fix.${trouble.code}`) ? t(`fix.${trouble.code}`) : trouble.fix, trouble.detail && `(${trouble.detail})`].filter(Boolean).join(' ');
    const place = PLACES[trouble.code];
    const mend = trouble.code === 'mcp_server_not_set_up' ? action(t('alert.set_up'), () => change('api/setup'), { class: 'main' })
      : place && window.parent !== window ? action(t('alert.open_ha'), () => navigate(place), { class: 'main' })
      : breaker.state !== 'closed' && action(t('breaker.reset'), () => change('api/breaker/reset'));
    found.push(alert('bad', title, text, mend));
  }
  if (state.app?.place && state.app.place.port === null) found.push(alert('bad', t('alert.port_closed'), t('alert.port_closed_more')));
  if (state.bridge?.front_door_open) found.push(alert('warn', t('alert.open_door'), t('alert.open_door_more')));
  const { restart_needed: waiting = [], refused } = state.bridge?.configuration ?? {};
  if (refused) found.push(alert('bad', t('alert.refused'), t('alert.refused_more', { faults: refused.faults.join('; ') })));
  if (waiting.length) {
    found.push(alert('warn', t('alert.restart'), t('alert.restart_more', { settings: waiting.join(', ') }),
      state.app?.supervised && action(t('operate.restart'), restart, { class: 'main' })));
  }
  if (queue.mode !== 'open') {
    found.push(alert('warn', t(`mode.${queue.mode}`), t(`mode.${queue.mode}_more`, { waiting: number(queue.waiting) }),
      action(t('operate.resume'), () => change('api/queue/resume'), { class: 'main' })));
  }
  fill(byId('alerts'), ...found);
}

/** The first run is three steps; everything else has nothing to show before somebody has called. */
let wasFirst = false;
function firstRun() {
  const { home_assistant: house, clients } = state;
  if (!house || !clients) return;
  const first = !hasConnected();
  const panel = byId('connect-panel');
  const home = first ? byId('step-2-inside') : byId('connect-inside');
  if (panel.parentElement !== home) home.append(panel);
  byId('first').hidden = !first;
  // Whoever has just connected wants to see it said.
  if (!first && byId('rest').hidden && wasFirst) byId('connect').open = true;
  wasFirst ||= first;
  byId('rest').hidden = first;
  if (!first) return;
  const found = house.reachable !== false;
  byId('step-1').className = found ? 'done' : 'open';
  byId('step-2').className = !found ? '' : isTaken() ? 'done' : 'open';
  byId('step-3').className = found && isTaken() ? 'open' : '';
  byId('step-1-inside').textContent = t(found ? 'first.found_yes' : 'first.found_no', { url: house.url });
}

const PARTS = [
  [verdict, ['bridge', 'queue', 'home_assistant']],
  [drawCheck, ['bridge']],
  [alerts, ['queue', 'home_assistant', 'bridge', 'app']],
  [drawApprovals, ['approvals']],
  [drawCards, ['hour', 'queue']],
  [drawBeat, ['hour', 'home_assistant']],
  [drawConnect, ['bridge', 'clients', 'app']],
  [firstRun, ['home_assistant', 'clients']],
  [drawClients, ['clients', 'queue', 'bridge']],
  [drawRefused, ['refused']],
  [drawCalls, ['calls']],
  [drawOperate, ['queue', 'home_assistant', 'app']],
  [drawLog, ['lines', 'bridge']],
  [drawFooter, ['bridge']],
];

let due = new Set();
let painted = false;
/** Draws what has changed, once a frame at most. */
function draw(changed) {
  for (const name of changed) due.add(name);
  if (painted) return;
  painted = true;
  requestAnimationFrame(() => {
    painted = false;
    const now = due;
    due = new Set();
    for (const [part, needs] of PARTS) if (needs.some((name) => now.has(name))) part();
  });
}

const everything = () => new Set(PARTS.flatMap(([, needs]) => needs));

/** Where the machine is reached, if there is a Supervisor that knows; the page does without. */
async function askForPlace() {
  try {
    const reply = await fetch('api/app');
    if (reply.ok) draw(absorb({ app: await reply.json() }));
  } catch { /* The bridge does not answer, and the page says so already. */ }
}

await follow(async (languages) => {
  if (!(await speak(languages))) return;
  draw(everything());
  redrawSettings();
  redrawTools();
});
const signOut = byId('sign-out');
signOut.hidden = signOut.dataset.signedIn !== 'true';
watch((news) => draw(absorb(news)), (lost) => {
  if (state.lost === lost) return;
  state.lost = lost;
  draw(['bridge']);
});
watchSettings();
watchTools();
askForPlace();
document.addEventListener('taken', () => draw(['clients']));
// "5 minutes ago" grows old by itself.
setInterval(() => document.hidden || draw(['clients', 'refused']), 20000);
