// The last calls, live, each with its arguments, its times and what can be done about an error.

import { action, byId, copy, el, fill, toast } from './dom.js';
import { clock, duration, has, number, t } from './texts.js';
import { absorbOlder, state, wentWrong } from './state.js';

const PAGE = 50;
const MARKS = { answered: '✔', tool_failed: '✖', refused: '✖', failed: '✖', left: '○' };

let only = '';
let errorsOnly = false;
let frozen;
let shown = PAGE;
let rows = new Map();

/** What people read in a result of MCP that may have been cut in the middle. */
function readable(answer) {
  try {
    const { content } = JSON.parse(answer);
    const texts = content?.filter(({ type }) => type === 'text').map(({ text }) => text);
    return texts?.length ? texts.join('\n') : answer;
  } catch {
    const text = /"text"\s*:\s*"((?:[^"\\]|\\.)*)/.exec(answer);
    if (!text) return answer;
    try {
      return `${JSON.parse(`"${text[1]}"`)}…`;
    } catch {
      return answer;
    }
  }
}

/** Arguments as `name=Kitchen light`. */
export function brief(given) {
  return Object.entries(given ?? {}).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`).join(' ');
}

/** The arguments of a call, which may have been cut in the middle. */
function briefly(call) {
  try {
    return brief(JSON.parse(call.arguments));
  } catch {
    return call.arguments ?? '';
  }
}

function headline(call) {
  const { code, detail, title } = call;
  if (code) return has(`code.${code}`) ? t(`code.${code}`) : title;
  return call.outcome === 'tool_failed' && call.answer ? readable(call.answer) : detail ?? t(`outcome.${call.outcome}`);
}

function advice(call) {
  if (call.code) return has(`fix.${call.code}`) ? t(`fix.${call.code}`) : call.fix;
  return wentWrong(call) ? t(`advice.${call.outcome}`) : null;
}

function times(call) {
  const total = Math.max(call.total_ms, 0.1);
  const there = call.upstream_ms ?? 0;
  const width = (ms) => `${Math.min(100, (ms / total) * 100)}%`;
  const waited = el('i', { class: 'waited' });
  const house = el('i', { class: 'there' });
  waited.style.width = width(call.waited_ms);
  house.style.width = width(there);
  return el('div', {}, el('div', { class: 'bar', 'aria-hidden': 'true' }, call.waited_ms > 0 && waited, there > 0 && house),
    el('p', { class: 'bar-words' },
      el('span', { class: 'waited' }, t('calls.waited', { time: duration(call.waited_ms) })),
      el('span', { class: 'there' }, t('calls.there', { time: duration(call.upstream_ms) })),
      el('span', {}, t('calls.total', { time: duration(call.total_ms) }))));
}

function inside(call) {
  const told = advice(call);
  const block = (label, text) => text && el('div', {}, el('p', { class: 'quiet' }, label), el('div', { class: 'block' }, el('pre', {}, text)));
  return [
    times(call),
    (wentWrong(call) || call.outcome === 'left') && el('p', {}, el('strong', {}, headline(call)), call.code && call.detail ? ` – ${call.detail}` : ''),
    told && el('p', { class: 'advice' }, told),
    block(t('calls.arguments'), call.arguments),
    block(t('calls.answer', { size: number(call.answer_bytes) }), call.answer && readable(call.answer)),
    el('div', { class: 'actions' }, el('span', { class: 'quiet' }, `${call.method} · ${t(`source.${call.source}`)}`),
      action(t('calls.copy'), async () => toast(t((await copy(JSON.stringify(call, null, 2))) ? 'connect.copied' : 'connect.copy_failed')), { class: 'plain' })),
  ];
}

function row(call) {
  const wrong = wentWrong(call);
  const body = el('div', { class: 'inside' });
  return el('details', { class: 'call', toggle: ({ currentTarget }) => currentTarget.open && !body.firstChild && body.append(...inside(call).filter(Boolean)) },
    el('summary', {},
      el('time', { datetime: new Date(call.at).toISOString() }, clock(call.at)),
      el('span', { class: 'who' }, call.client),
      el('span', { class: 'what' }, el('b', {}, call.target ?? call.method), ' ', el('span', { class: 'quiet' }, briefly(call))),
      el('span', { class: wrong ? 'how-long bad' : 'how-long' },
        el('span', { 'aria-hidden': 'true' }, `${MARKS[call.outcome]} `), el('span', { class: 'unseen' }, t(`outcome.${call.outcome}`)), duration(call.total_ms))),
    body);
}

/** The rows in this order, touching only those that have moved: the others keep focus and openness. */
function arrange(list, wanted) {
  const keep = new Set(wanted);
  for (const child of [...list.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((element, place) => {
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] ?? null);
  });
}

function controls() {
  const names = [...new Set(state.calls.map(({ client }) => client))].sort();
  const key = JSON.stringify([names, only, errorsOnly, Boolean(frozen), t('calls.all')]);
  const bar = byId('calls-actions');
  if (bar.dataset.drawn === key) return;
  bar.dataset.drawn = key;
  const pressed = (label, on, flip) => el('button', { type: 'button', 'aria-pressed': String(on), 'data-key': label, click: () => (flip(), restart()) }, label);
  fill(bar,
    el('select', { 'aria-label': t('calls.client'), 'data-key': 'client', change: ({ target }) => ((only = target.value), restart()) },
      el('option', { value: '' }, t('calls.all')), names.map((name) => el('option', { value: name, selected: name === only }, name))),
    pressed(t('calls.errors_only'), errorsOnly, () => (errorsOnly = !errorsOnly)),
    pressed(t('calls.pause'), Boolean(frozen), () => (frozen = frozen ? undefined : state.calls)));
}

function restart() {
  shown = PAGE;
  drawCalls();
}

let language;
export function drawCalls() {
  if (language !== document.documentElement.lang) {
    language = document.documentElement.lang;
    rows = new Map();
    byId('calls').replaceChildren();
  }
  controls();
  const fits = (call) => (!only || call.client === only) && (!errorsOnly || wentWrong(call));
  const all = (frozen ?? state.calls).filter(fits).reverse();
  const visible = all.slice(0, shown);
  const known = rows;
  rows = new Map(visible.map((call) => [call.id, known.get(call.id) ?? row(call)]));
  let list = byId('calls').querySelector('.list');
  if (!list) byId('calls').append((list = el('div', { class: 'list' })), el('p', { class: 'quiet none' }, t('calls.none')), el('div', { class: 'more' }));
  arrange(list, [...rows.values()]);
  byId('calls').querySelector('.none').hidden = all.length > 0;
  const more = byId('calls').querySelector('.more');
  const older = !frozen && state.calls.length > 0 && state.calls[0].id > 1 && state.calls.length < 1000;
  const rest = all.length - visible.length;
  const wanted = rest > 0 ? t('calls.more', { count: number(Math.min(PAGE, rest)) }) : older ? t('calls.older') : '';
  if (more.dataset.drawn === wanted) return;
  more.dataset.drawn = wanted;
  fill(more, wanted && action(wanted, async () => {
    if (rest <= 0) absorbOlder(await (await fetch('api/calls')).json());
    shown += PAGE;
    drawCalls();
  }));
}
