// The cards with their small charts, and Home Assistant's heartbeat.

import { action, byId, change, el, fill } from './dom.js';
import { clock, duration, number, t, when } from './texts.js';
import { state, sum } from './state.js';

const SVG = 'http://www.w3.org/2000/svg';

function sparkline(values, wrong) {
  const most = Math.max(1, ...values);
  const points = values.map((value, x) => `${x},${(39 - (value / most) * 37).toFixed(1)}`);
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', `0 0 ${values.length - 1} 40`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('class', wrong ? 'spark wrong' : 'spark');
  svg.setAttribute('aria-hidden', 'true');
  const area = document.createElementNS(SVG, 'path');
  area.setAttribute('class', 'area');
  area.setAttribute('d', `M0,40L${points.join('L')}L${values.length - 1},40Z`);
  const line = document.createElementNS(SVG, 'path');
  line.setAttribute('d', `M${points.join('L')}`);
  svg.append(area, line);
  return svg;
}

function card(id, title, big, small, values, wrong) {
  fill(byId(id), el('h2', {}, title), el('p', { class: 'big' }, big), el('p', { class: 'quiet' }, small), sparkline(values, wrong));
}

export function drawCards() {
  const { hour, queue } = state;
  if (!hour || !queue) return;
  const calls = sum(hour.calls);
  const errors = sum(hour.errors);
  const share = calls ? errors / calls : 0;
  card('figure-waiting', t('figure.waiting'), [number(queue.waiting), el('small', {}, ` / ${number(queue.max_waiting)}`)],
    t('figure.waiting_more', { most: number(queue.most_waiting), running: number(queue.running), limit: number(queue.limit) }), hour.waiting);
  card('figure-calls', t('figure.calls'), number(calls), t('figure.calls_more', { spared: number(queue.spared) }), hour.calls);
  card('figure-time', t('figure.time'), duration(hour.p95_ms), t('figure.time_more', { median: duration(hour.p50_ms) }), hour.p95.map((ms) => ms ?? 0));
  card('figure-errors', t('figure.errors'), number(errors), t('figure.errors_more', { share: number(share, { style: 'percent', maximumFractionDigits: 1 }) }), hour.errors, true);
}

export function drawBeat() {
  const { hour, home_assistant: house } = state;
  if (!hour || !house) return;
  const kinds = hour.good.map((good, minute) => {
    const bad = hour.bad[minute];
    return bad ? (good ? 'part' : 'bad') : good ? 'good' : '';
  });
  const beat = byId('beat');
  while (beat.childElementCount < kinds.length) beat.append(el('i'));
  const now = Date.now();
  kinds.forEach((kind, minute) => {
    const cell = beat.children[minute];
    if (cell.className !== kind) cell.className = kind;
    cell.title = `${clock(now - (kinds.length - 1 - minute) * 60000).slice(0, 5)} · ${hour.good[minute]} ✔ ${hour.bad[minute]} ✖`;
  });
  const count = (kind) => kinds.filter((one) => one === kind).length;
  beat.setAttribute('aria-label', t('beat.summary', { good: count('good'), bad: count('bad') + count('part'), quiet: count('') }));
  const { state: breaker, since } = house.breaker;
  const presence = house.presence !== 'unknown' && [t(`presence.${house.presence}`, { since: when(house.since) }), house.version, ''].filter((part) => part !== null).join(' · ');
  fill(byId('beat-state'), presence, t(`breaker.${breaker}`, { since: when(since) }),
    breaker !== 'closed' && [' ', action(t('breaker.reset'), () => change('api/breaker/reset'), { class: 'plain' })]);
}
