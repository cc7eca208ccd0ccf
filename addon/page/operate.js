// What an operator does: the queue, the log, diagnostics.

import { action, byId, change, confirmed, el, fill, toast } from './dom.js';
import { wantLines } from './live.js';
import { clock, t } from './texts.js';
import { state } from './state.js';

const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'];

const row = (title, text, ...actions) => el('div', { class: 'row' }, el('div', {}, el('strong', {}, title), el('span', { class: 'quiet' }, text)), el('div', { class: 'actions' }, actions));

export function drawOperate() {
  const { queue, home_assistant: house } = state;
  if (!queue || !house) return;
  const place = byId('operate');
  const supervised = Boolean(state.app?.supervised);
  const key = JSON.stringify([queue.mode, house.url, house.way, supervised, t('operate.title')]);
  if (place.dataset.drawn === key) return;
  place.dataset.drawn = key;
  const drain = async () => {
    if (await confirmed(t('operate.drain'), t('operate.drain_ask'), t('operate.drain'), t('page.cancel'))) await change('api/queue/drain');
  };
  fill(place, el('div', { class: 'rows' },
    row(t('operate.queue'), t(`mode.${queue.mode}`),
      queue.mode === 'open' ? action(t('operate.pause'), () => change('api/queue/pause')) : action(t('operate.resume'), () => change('api/queue/resume'), { class: 'main' }),
      queue.mode !== 'draining' && action(t('operate.drain'), drain, { class: 'danger' })),
    row(t('operate.house'), `${house.url} · ${t(`way.${house.way}`)}`),
    row(t('operate.cache'), t('operate.cache_more'), action(t('operate.flush'), flush)),
    supervised && row(t('operate.restart'), t('operate.restart_more'), action(t('operate.restart'), restart, { class: 'danger' })),
    row(t('operate.diagnostics'), t('operate.diagnostics_more'), action(t('operate.download'), download))));
}

async function flush() {
  await change('api/cache/flush');
  toast(t('operate.flushed'));
}

export async function restart() {
  if (!(await confirmed(t('operate.restart'), t('operate.restart_ask'), t('operate.restart'), t('page.cancel')))) return;
  await change('api/restart');
  toast(t('operate.restarting'));
}

/** Everything that helps to find a fault, without tokens, arguments and answers. */
async function download() {
  const snapshot = await (await fetch('api/snapshot?lines=0')).json();
  const calls = await (await fetch('api/calls')).json();
  const safe = calls.map(({ arguments: _, answer: __, ...rest }) => rest);
  const text = JSON.stringify({ ...snapshot, calls: safe }, null, 2);
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  const link = el('a', { href: url, download: 'mcp-bridge-diagnostics.json' });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
}

let open = false;
export function drawLog() {
  if (!state.bridge) return;
  const { log_level: level } = state.bridge;
  const bar = byId('log-actions');
  const key = JSON.stringify([level, open, t('log.title')]);
  if (bar.dataset.drawn !== key) {
    bar.dataset.drawn = key;
    fill(bar,
      level && el('select', { 'aria-label': t('log.level'), 'data-key': 'level', change: ({ target }) => change('api/log-level', { level: target.value }, 'PATCH') },
        LEVELS.map((one) => el('option', { value: one, selected: one === level }, one))),
      el('button', { type: 'button', 'data-key': 'log', 'aria-expanded': String(open), click: toggle }, t(open ? 'log.hide' : 'log.show')));
  }
  const place = byId('log');
  if (!open) return fill(place);
  let list = place.querySelector('.lines');
  if (!list) fill(place, (list = el('div', { class: 'lines code', tabindex: '0', role: 'group', 'aria-labelledby': 'log-title' })));
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const last = Number(list.lastElementChild?.dataset.id ?? 0);
  list.append(...state.lines.filter(({ id }) => id > last).slice(-200).map((line) => el('div', { class: 'line', 'data-id': line.id },
    el('time', {}, clock(line.at)), el('span', { class: ['error', 'warn'].includes(line.level) ? 'bad' : 'quiet' }, line.level), el('span', {}, line.text))));
  while (list.childElementCount > 200) list.firstElementChild.remove();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

function toggle() {
  open = !open;
  state.lines = [];
  wantLines(open);
  drawLog();
}

export function drawFooter() {
  const { bridge } = state;
  if (!bridge) return;
  fill(byId('footer'), el('span', {}, t('footer.since', { time: new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: 'medium', timeStyle: 'short' }).format(bridge.started) })));
}
